# SPDX-License-Identifier: GPL-2.0-or-later
"""Our binary under the name `criu`, first on PATH, for clients that look for it there."""
import os
import shutil
import sys
import tempfile

from checkpoint import become_reaper
from container import Container, Host


def put_on_path(engine):
    folder = tempfile.mkdtemp(prefix='ckpt-path-')
    os.symlink(os.path.abspath(engine), f'{folder}/criu')
    os.environ['PATH'] = f'{folder}:{os.environ["PATH"]}'
    # what the user of the tests has configured for CRIU is none of our business
    os.environ['HOME'] = folder
    return folder


class Client(Container):
    """A container whose runtime does checkpoints itself, with the `criu` that it finds."""

    def ours_argv(self, *words):
        return self.runtime_argv(*words)


def enter(runtime):
    """Arguments: CKPT WORKLOAD [CASE]... Returns the host, and the cases that are asked for."""
    if len(sys.argv) < 3:
        sys.exit(f'usage: {sys.argv[0]} CKPT WORKLOAD [CASE]...')
    why = None
    if os.geteuid() != 0:
        why = 'containers need root'
    elif not shutil.which(runtime):
        why = f'there is no {runtime}'
    elif not shutil.which('busybox'):
        why = 'there is no busybox'
    if why:
        print(f'1..0 # SKIP {why}')
        sys.exit(0)
    become_reaper()
    os.umask(0o022)
    folder = put_on_path(sys.argv[1])
    host = Host(runtime, os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    return host, folder, sys.argv[3:]
