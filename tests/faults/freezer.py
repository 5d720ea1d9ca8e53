# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup of a test's own with a freezer, of whichever version the machine has."""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from checkpoint import Failed, Skipped, tree_of, until  # noqa: E402


def parent_dir():
    """Where we may make a cgroup: our own one in the v1 freezer, else in the unified tree."""
    mounts = {}
    with open('/proc/self/mounts', encoding='utf-8') as f:
        for line in f:
            _, where, kind, options = line.split()[:4]
            if kind == 'cgroup' and 'freezer' in options.split(','):
                mounts['freezer'] = where
            elif kind == 'cgroup2':
                mounts[''] = where
    with open('/proc/self/cgroup', encoding='utf-8') as f:
        for line in f:
            _, controllers, path = line.rstrip('\n').split(':', 2)
            if controllers in mounts and 'freezer' in (controllers or 'freezer'):
                where = os.path.normpath(mounts[controllers] + '/' + path)
                if controllers or 'freezer' not in mounts:
                    yield where


class Freezer:
    def __init__(self):
        self.path = ''

    def __enter__(self):
        for parent in parent_dir():
            try:
                self.path = tempfile.mkdtemp(prefix='ckpt-test-', dir=parent)
                return self
            except OSError:
                pass
        raise Skipped('no cgroup with a freezer can be made here')

    def file(self, name):
        return os.path.join(self.path, name)

    def take(self, pid):
        for p in tree_of(pid):
            try:
                with open(self.file('cgroup.procs'), 'w', encoding='ascii') as f:
                    f.write(str(p))
            except ProcessLookupError:
                pass  # it has ended

    def state(self):
        v1 = os.path.exists(self.file('freezer.state'))
        with open(self.file('freezer.state' if v1 else 'cgroup.freeze'), encoding='ascii') as f:
            text = f.read().strip()
        return {'0': 'THAWED', '1': 'FROZEN'}.get(text, text)

    def check_thawed(self):
        try:
            until(lambda: self.state() == 'THAWED', 'thawed', 2)
        except Failed:
            raise Failed(f'the cgroup is {self.state()}') from None

    def __exit__(self, *_):
        for _ in range(200):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.01)
