/** A worker in this process: of the embedded engine while a command lives, or of any server for `hardcase worker`. */
