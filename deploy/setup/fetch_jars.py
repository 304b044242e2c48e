"""Copies the jar of a Maven artifact, and those that it needs, to a folder: `fetch_jars.py GROUP ARTIFACT VERSION CACHE FOLDER`.

For machines without Maven. Needs the package jgo; the set-up checks the digest of what was copied.
"""

import pathlib
import shutil
import sys

from jgo.maven import MavenContext

group, artifact, version, cache, folder = sys.argv[1:]
context = MavenContext(repo_cache=pathlib.Path(cache))
component = context.project(group, artifact).at_version(version)
_, needed = context.pom_dependency_list(component.pom())
pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
for jar in [component.artifact(), *(node.dep.artifact for node in needed)]:
    shutil.copy(jar.resolve(), folder)
