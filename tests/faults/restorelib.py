# SPDX-License-Identifier: GPL-2.0-or-later
"""A dumped workload whose restore is struck again and again; each time nothing of it may be left."""
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faultlib import Failed, children, describe, engine, reap_except, step_names, until  # noqa: E402
from checkpoint import Skipped, Workload, alive, reap, tree_of  # noqa: E402
from freezer import Freezer  # noqa: E402


def mounts():
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        return f.read()


def names_below(path):
    result = set()
    for folder, folders, files in os.walk(path):
        result |= {os.path.join(folder, n) for n in folders + files}
    return result


class Dumped:
    """Images of a workload that has ended, and the files it had. It was in a cgroup of its own."""

    def __init__(self, program, words):
        self.w = Workload(program, words)
        self.cgroup = None
        self.images = self.steps = None

    def __enter__(self):
        try:
            self.cgroup = Freezer().__enter__()
        except Skipped:
            pass
        self.w.start()
        if self.cgroup:
            self.cgroup.take(self.w.pid)
        self.images = self.w.dump(engine())
        shutil.copytree(self.w.path('files'), self.w.path('files.saved'), symlinks=True)
        self.remove_cgroup()
        self.keep = set(children())
        self.before = (mounts(), names_below(self.w.path('files')))
        return self

    def remove_cgroup(self):
        if self.cgroup and os.path.isdir(self.cgroup.path):
            until(lambda: self.try_rmdir() or not os.path.isdir(self.cgroup.path), 'an empty cgroup', 5)

    def try_rmdir(self):
        try:
            os.rmdir(self.cgroup.path)
            return True
        except OSError:
            return False

    def argv(self):
        return [engine(), 'restore', '-d', '-D', self.images, '-o', 'restore.log', '-v4']

    def left(self):
        reap_except(self.keep)
        return [p for p in children() if p not in self.keep]

    def leavings(self):
        result = ['process ' + describe(p) for p in self.left()]
        if mounts() != self.before[0]:
            result.append('mounts')
        names = names_below(self.w.path('files'))
        result += [f'file {n}' for n in sorted(names - self.before[1])]
        result += [f'no file {n}' for n in sorted(self.before[1] - names)]
        if self.cgroup and os.path.isdir(self.cgroup.path):
            result.append(f'cgroup {self.cgroup.path}')
        return result

    def check_nothing_left(self, seconds=2):
        try:
            until(lambda: not self.leavings(), 'nothing left', seconds)
        except Failed:
            raise Failed('left: ' + '; '.join(self.leavings()[:8])) from None

    def check_whole_or_nothing(self):
        """After a kill: the restore was through, and the tree verifies itself, or there is nothing."""
        try:
            self.check_nothing_left()
            return False
        except Failed:
            if not alive(self.w.pid):
                raise
        self.w.verify(10)
        self.end()
        return True

    def end(self):
        """Ends what was restored, and gives its files back as they were at the dump."""
        self.kill()
        shutil.rmtree(self.w.path('files'))
        shutil.copytree(self.w.path('files.saved'), self.w.path('files'), symlinks=True)

    def kill(self):
        for root in [self.w.pid] + self.left():
            for pid in tree_of(root):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        until(lambda: reap(self.w.pid) and not self.left(), 'the end of what was restored', 10)
        self.remove_cgroup()

    def clean(self):
        """Takes away what a harmful run has left, so that it counts once."""
        self.kill()
        shutil.rmtree(self.w.path('files'), ignore_errors=True)
        shutil.copytree(self.w.path('files.saved'), self.w.path('files'), symlinks=True)
        self.before = (mounts(), names_below(self.w.path('files')))

    def whole(self):
        """One restore to its end; the steps are those of its log."""
        self.w.restore(engine(), self.images)
        self.steps = step_names(os.path.join(self.images, 'restore.log'))
        self.w.verify()
        self.end()
        self.check_nothing_left()

    def __exit__(self, *_):
        self.kill()
        self.w.close()
