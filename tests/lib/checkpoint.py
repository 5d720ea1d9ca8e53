# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of the engine share: a workload that runs, is dumped, restored and verifies itself.

The engine is a program with CRIU's command line, so the same code drives ours and upstream's.
"""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def become_reaper():
    """Restored tasks whose parent has gone become our children, so that nothing is left over."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), 'PR_SET_CHILD_SUBREAPER')


def until(condition, what, seconds=30):
    """Waits for a condition; its truth is returned. A time limit is a failure."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f'{what}: nothing after {seconds} s')
        time.sleep(0.002)


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def reap(pid):
    """Takes the status of every child that has ended; true when the pid is free again."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return not os.path.exists(f'/proc/{pid}')


def maps_of(pid):
    """Areas, without the inode numbers of the kernel's own shared memory files."""
    with open(f'/proc/{pid}/maps', encoding='utf-8', errors='replace') as f:
        text = re.sub(r'00:[0-9a-f]+ \d+ +(/(?:dev/zero|memfd:|SYSV|anon_hugepage|\[aio\])|\[anon_shmem:)',
                      r'00:XX INO \1', f.read())
        text = re.sub(r'00:[0-9a-f]+ \d+ +socket:\[\d+\]', r'00:XX INO socket', text)
    merged = []
    for line in text.splitlines():
        bounds, _, rest = line.partition(' ')
        start, end = bounds.split('-')
        # the kernel keeps equal anonymous neighbours apart by how they came to be; nobody can tell
        # (without address randomisation the heap follows the program's own variables)
        plain = rest.replace('[heap]', '').rstrip()
        if merged and merged[-1][1] == start and ' 00:00 0' in rest and plain in (
                merged[-1][2].rstrip(), merged[-1][2].replace('[heap]', '').rstrip()):
            merged[-1][1:] = end, rest
        else:
            merged.append([start, end, rest])
    return '\n'.join(f'{a}-{b} {c}' for a, b, c in merged)


def fds_of_once(pid):
    result = {}
    for fd in sorted(os.listdir(f'/proc/{pid}/fd'), key=int):
        link = os.readlink(f'/proc/{pid}/fd/{fd}')
        kind = link if link.startswith('/') else link.split(':')[0]
        # a file of O_TMPFILE is called by its inode number
        kind = re.sub(r'#\d+ \(deleted\)$', '#INO (deleted)', kind)
        with open(f'/proc/{pid}/fdinfo/{fd}', encoding='utf-8', errors='replace') as f:
            lines = dict(l.split(':', 1) for l in f.read().splitlines() if ':' in l)
        result[int(fd)] = (kind, lines['flags'].strip(), lines['pos'].strip())
    return result


def fds_of(pid):
    """Descriptor numbers with kind of target, access mode and position."""
    while True:
        try:
            return fds_of_once(pid)
        except FileNotFoundError:
            # one that was closed in between, or the end of the process itself
            if not os.path.exists(f'/proc/{pid}/fd'):
                raise


def run(argv, seconds=60, **kwargs):
    """A command with its output as text; a time limit is a failure."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, errors='replace', timeout=seconds,
                              stdin=subprocess.DEVNULL, check=False, **kwargs)
    except subprocess.TimeoutExpired as e:
        raise Failed(f'{os.path.basename(argv[0])} {argv[1]}: nothing after {seconds} s') from e


def log_errors(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return ' | '.join(l.strip() for l in f if 'Error (' in l and 'RLIMIT_NOFILE' not in l)
    except OSError:
        return '(no log)'


class Workload:
    """A running workload in a folder of its own below a temporary one."""

    def __init__(self, program, words, prefix=()):
        self.top = tempfile.mkdtemp(prefix='ckpt-test-')
        self.words = words
        self.program = program
        self.prefix = list(prefix)
        self.pid = 0
        self.rounds = 0

    def path(self, name):
        return os.path.join(self.top, name)

    def start(self, seconds=60):
        out = run([*self.prefix, self.program, '--daemon', '--ready', self.path('ready'), '--result',
                   self.path('result'), '--dir', self.path('files'), *self.words], seconds)
        if out.returncode == 77:
            raise Skipped(out.stderr.strip() or 'not possible here')
        if out.returncode:
            raise Failed(f'start: {out.returncode}: {out.stderr.strip()}')
        self.pid = int(out.stdout.split()[-1])
        return self

    def verify(self, seconds=30):
        os.kill(self.pid, signal.SIGUSR1)

        def answer():
            if not alive(self.pid):
                raise Failed('verify: the workload has ended')
            return os.path.exists(self.path('result'))
        until(answer, 'verify', seconds)
        with open(self.path('result'), encoding='utf-8', errors='replace') as f:
            text = f.read().strip()
        os.unlink(self.path('result'))
        if text != 'PASS':
            raise Failed(f'verify: {text}')

    def dump(self, engine, *options):
        """Dumps into a new image directory and returns it; the workload is gone (or not, see options)."""
        self.rounds += 1
        images = self.path(f'images-{self.rounds}')
        os.mkdir(images)
        tree = tree_of(self.pid)
        out = run([engine, 'dump', '-t', str(self.pid), '-D', images, '-o', 'dump.log', '-v4', *options])
        if out.returncode:
            raise Failed(f'dump: status {out.returncode}: {log_errors(images + "/dump.log")}')
        if '--leave-running' not in options and '-R' not in options and '-s' not in options:
            until(lambda: all([reap(p) for p in tree]), 'the dumped workload to be gone')
        return images

    def restore(self, engine, images, *options):
        out = run([engine, 'restore', '-d', '-D', images, '-o', 'restore.log', '-v4', *options])
        if out.returncode:
            raise Failed(f'restore: status {out.returncode}: {log_errors(images + "/restore.log")}')
        if not alive(self.pid):
            raise Failed('restore: the workload is not there')

    def stop(self, seconds=20):
        os.kill(self.pid, signal.SIGTERM)
        until(lambda: reap(self.pid) or not alive(self.pid), 'the end of the workload', seconds)

    def close(self):
        """Kills what is left of it: its session, and every child of ours that it has become."""
        if self.pid:
            for pid in tree_of(self.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            until(lambda: reap(self.pid) or not alive(self.pid), 'a killed workload to be gone')
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        if not os.environ.get('KEEP'):
            shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tree_of(pid):
    """The pid and its descendants, leaves last."""
    result = [pid]
    for p in result:
        try:
            for tid in os.listdir(f'/proc/{p}/task'):
                with open(f'/proc/{p}/task/{tid}/children', encoding='utf-8') as f:
                    result += [int(x) for x in f.read().split()]
        except OSError:
            pass
    return result


class Tap:
    """Numbered results; the status of the test program."""

    def __init__(self):
        self.count = self.failed = 0

    def case(self, name, function):
        self.count += 1
        try:
            function()
            print(f'ok {self.count} {name}', flush=True)
        except Skipped as e:
            print(f'ok {self.count} {name} # SKIP {e}', flush=True)
        except (Failed, OSError, AssertionError) as e:
            self.failed += 1
            print(f'not ok {self.count} {name}\n# {str(e)[:1500]}', flush=True)

    def end(self):
        print(f'1..{self.count}')
        return 1 if self.failed else 0
