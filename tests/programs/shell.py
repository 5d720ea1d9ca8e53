# SPDX-License-Identifier: GPL-2.0-or-later
"""Works in a shell under a pseudo terminal as a person does: shell.py ROUNDS

Starts jobs, and in each round asks for them and brings one to the foreground and back. A line of `progress` is
written for each round; `result` is what is wrong, or "ok".
"""
import os
import pty
import select
import sys
import time


class Terminal:
    def __init__(self):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execvpe('bash', ['bash', '--norc', '--noprofile', '-i'], {'PATH': os.environ['PATH'], 'PS1': 'ready> ',
                                                                         'TERM': 'dumb', 'HOME': os.getcwd()})
        self.text = ''

    def read_until(self, word):
        end = time.monotonic() + 60
        while word not in self.text:
            if time.monotonic() > end:
                raise TimeoutError(f'no {word!r} in {self.text!r}')
            if select.select([self.master], [], [], 1)[0]:
                self.text += os.read(self.master, 4096).decode(errors='replace')
        before, _, self.text = self.text.partition(word)
        return before

    def command(self, line, mark):
        """Types a line and a command that says mark; the answer is what comes before that."""
        os.write(self.master, f'{line}; echo {mark[:2]}"{mark[2:]}"\n'.encode())
        return self.read_until(f'\n{mark}')


def work(rounds):
    t = Terminal()
    t.read_until('ready> ')
    t.command('sleep 3001 & true', 'begun')
    t.command('sleep 3002 & true', 'second')
    for i in range(rounds):
        jobs = t.command('jobs', f'round{i}')
        if 'sleep 3001' not in jobs or 'sleep 3002' not in jobs:
            return f'jobs of round {i}: {jobs!r}'
        # to the foreground, and stopped by the terminal's own key
        os.write(t.master, b'fg %1\n')
        t.read_until('sleep 3001')
        while os.tcgetpgrp(t.master) == t.pid:
            time.sleep(0.002)
        os.write(t.master, b'\x1a')
        t.read_until('Stopped')
        t.command('bg %1', f'again{i}')
        with open('progress', 'a', encoding='ascii') as f:
            f.write(f'{i}\n')
        time.sleep(0.05)
    answer = t.command('kill %1; wait %1; echo status $?', 'killed')
    t.command('kill %2', 'over')
    os.write(t.master, b'exit\n')
    os.waitpid(t.pid, 0)
    return 'ok' if 'status 143' in answer else f'the killed job: {answer!r}'


def main():
    result = work(int(sys.argv[1]))
    with open('result', 'w', encoding='utf-8') as f:
        f.write(result)


if __name__ == '__main__':
    main()
