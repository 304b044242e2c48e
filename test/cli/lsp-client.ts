/** The editor's side of a language server that runs as a process, over standard input and output. */

import { spawn } from 'node:child_process';
import {
  createProtocolConnection,
  ExitNotification,
  InitializedNotification,
  type InitializeParams,
  InitializeRequest,
  type InitializeResult,
  type ProtocolConnection,
  ShutdownRequest,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver/node';

export interface LspClient {
  readonly connection: ProtocolConnection;
  /** What the server said of itself. */
  readonly server: InitializeResult;
  /** Ends the server as the protocol has it; answers its exit status. */
  close(): Promise<number | null>;
}

/** `listen` is given the connection before anything goes over it. */
export async function openLspClient(
  words: readonly string[],
  capabilities: InitializeParams['capabilities'],
  listen: (connection: ProtocolConnection) => void,
): Promise<LspClient> {
  const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = new Promise<number | null>((resolve) => child.on('close', resolve));
  const connection = createProtocolConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  listen(connection);
  connection.listen();
  const server = await connection.sendRequest(InitializeRequest.type, {
    processId: process.pid,
    rootUri: null,
    capabilities,
  });
  await connection.sendNotification(InitializedNotification.type, {});
  return {
    connection,
    server,
    close: async () => {
      await connection.sendRequest(ShutdownRequest.type);
      await connection.sendNotification(ExitNotification.type);
      const status = await exit;
      connection.dispose();
      return status;
    },
  };
}
