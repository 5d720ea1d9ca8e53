# SPDX-License-Identifier: GPL-2.0-or-later
"""What the fault tests share: a workload whose every visible trait is noted before the engine is struck,
and that must have them all again a moment later."""
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from checkpoint import Failed, Skipped, alive, maps_of, fds_of, run, tree_of, until  # noqa: E402

SIGNAL_FIELDS = ('SigPnd', 'ShdPnd', 'SigBlk', 'SigIgn', 'SigCgt', 'Seccomp', 'NoNewPrivs')


def engine():
    return os.environ['CKPT']


def status_of(pid, tid):
    with open(f'/proc/{pid}/task/{tid}/status', encoding='utf-8', errors='replace') as f:
        return dict(line.split(':\t', 1) for line in f.read().splitlines() if ':\t' in line)


def threads_of(pid):
    return sorted(int(tid) for tid in os.listdir(f'/proc/{pid}/task'))


def state_of(pid, tid):
    """'running', 'stopped', 'zombie' and who traces it."""
    status = status_of(pid, tid)
    letter = status['State'][0]
    if letter in 'ZX':
        return 'ended'
    if status['TracerPid'].strip() != '0':
        return 'traced by ' + status['TracerPid'].strip()
    return 'stopped' if letter in 'tT' else 'running'


def traits(pid):
    """What must not change: threads with states and signal masks, areas, descriptors."""
    result = {}
    for p in tree_of(pid):
        for tid in threads_of(p):
            status = status_of(p, tid)
            result[f'thread {p}/{tid}'] = [state_of(p, tid)] + [status[k].strip() for k in SIGNAL_FIELDS]
        if state_of(p, p) != 'ended':
            result[f'areas of {p}'] = maps_of(p)
            result[f'descriptors of {p}'] = fds_of(p)
    return result


def difference(before, after):
    lines = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        if a == b:
            continue
        if a is None or b is None:
            lines.append(f'{key}: {"new" if a is None else "gone"}')
        elif isinstance(a, dict):
            lines += [f'{key}: {k}: {a.get(k)} -> {b.get(k)}' for k in sorted(a.keys() | b.keys())
                      if a.get(k) != b.get(k)]
        elif isinstance(a, str):
            a, b = a.splitlines(), b.splitlines()
            lines += [f'{key}: -{x}' for x in a if x not in b] + [f'{key}: +{x}' for x in b if x not in a]
        else:
            lines.append(f'{key}: {a} -> {b}')
    return lines


def children():
    """Our own children. What an engine leaves behind becomes one, for we are its subreaper."""
    result = []
    for tid in os.listdir('/proc/self/task'):
        with open(f'/proc/self/task/{tid}/children', encoding='utf-8') as f:
            result += [int(x) for x in f.read().split()]
    return result


def describe(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            text = f.read()
        return f'{pid} ({text.partition("(")[2].rpartition(")")[0]}, {text.rpartition(")")[2].split()[0]})'
    except OSError:
        return f'{pid} (gone)'


def reap_except(keep):
    """Takes the status of our ended children, except those that somebody else waits for."""
    for pid in children():
        if pid not in keep:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def left_behind(keep):
    reap_except(keep)
    return [p for p in children() if p not in keep]


class Watch:
    """The workload as it was, and whether it is so again."""

    def __init__(self, workload):
        self.workload = workload
        self.keep = set(children())
        self.before = self.settled()
        self.areas = {k: v for k, v in self.before.items() if k.startswith('areas')}
        self.slowest = 0.0

    def look(self):
        """Before a strike: descriptors are where the last verification left them, areas where they were."""
        self.before = {**self.settled(), **self.areas}

    def settled(self):
        """Traits that two looks agree on: threads on their way show masks of a moment."""
        seen = []

        def twice():
            seen.append(traits(self.workload.pid))
            return len(seen) > 1 and seen[-1] == seen[-2]
        until(twice, 'a workload that stands still', 5)
        return seen[-1]

    def held(self):
        """Threads that do not run although they did, or are traced."""
        result = []
        for p in tree_of(self.workload.pid):
            for tid in threads_of(p):
                was = self.before.get(f'thread {p}/{tid}', [''])[0]
                if state_of(p, tid) != was:
                    result.append(f'thread {p}/{tid} is {state_of(p, tid)}')
        return result

    def check(self, free_s=1, same_s=5):
        """Free within one second; with the same traits, and nobody left behind, within five (a busy machine)."""
        start = time.monotonic()
        try:
            until(lambda: not self.alive() or not self.held(), 'free', free_s)
        except Failed:
            raise Failed(f'after {free_s} s: ' + '; '.join(self.held()[:6])) from None
        if not self.alive():
            raise Failed('the workload has died')
        try:
            until(lambda: not self.changes() and not left_behind(self.keep), 'same', same_s)
        except Failed:
            found = self.changes()[:6] + ['left behind: ' + describe(p) for p in left_behind(self.keep)]
            raise Failed('changed: ' + '; '.join(found)) from None
        self.slowest = max(self.slowest, time.monotonic() - start)
        self.workload.verify()

    def alive(self):
        return alive(self.workload.pid)

    def changes(self):
        return difference(self.before, traits(self.workload.pid))


def step_names(log):
    """The steps in their order, as a log of level 4 has them."""
    with open(log, encoding='utf-8', errors='replace') as f:
        return re.findall(r"^\([0-9.]+\) step '([^']+)': ", f.read(), re.MULTILINE)


def strike(argv, delay, env=None):
    """Starts the engine and kills it after so many seconds; its status, or None if it was killed."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=env) as p:
        try:
            status = p.wait(delay)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            status = p.wait(10)
    return None if status == -signal.SIGKILL else status


def run_with_fault(argv, fault):
    """The engine with a fault point; a time limit is a failure."""
    return run(argv, 30, env={**os.environ, 'CKPT_FAULT': fault})


def median_s(function, rounds=3):
    times = []
    for _ in range(rounds):
        start = time.monotonic()
        function()
        times.append(time.monotonic() - start)
    return sorted(times)[rounds // 2]


def one_line(text):
    """For a TAP comment."""
    return text.replace('\n', ' | ')


def need_root(tap):
    """True for root; else one skipped case stands for all."""
    def skip():
        raise Skipped('needs root')
    if os.geteuid() != 0:
        tap.case('all', skip)
    return os.geteuid() == 0
