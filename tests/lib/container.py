# SPDX-License-Identifier: GPL-2.0-or-later
"""What container tests share: a container of crun or runc, checked before, between and after.

enter() must come first. crun runs in a jail of control groups (tests/lib/cgroup-jail) and nowhere
else: with a wrong group in its state, its delete kills every process of that group.
"""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checkpoint import Failed, Skipped, alive, become_reaper, fds_of, reap, run, tree_of, until

LIB = os.path.dirname(os.path.abspath(__file__))
KILL_WAIT = 20
APPLETS = ('sh', 'cat', 'sleep', 'ps', 'ls', 'mkdir', 'ln', 'touch', 'id', 'tail', 'grep', 'readlink',
           'hostname', 'head', 'mount', 'echo', 'true', 'test', 'rm', 'wc', 'kill')

# What runs in the container: the number and the id are in the memory of the shell only.
COUNTER = '''#!/bin/sh
read -r id </proc/sys/kernel/random/uuid
( while :; do sleep 0.3; done ) &
echo $$ $! >/out/lasting
n=0
while :; do
	n=$((n + 1))
	echo "$n $id" >>/out/count
	echo "$n"
	sleep 0.04
done
'''

SECCOMP = {
    'defaultAction': 'SCMP_ACT_ALLOW',
    'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    'syscalls': [
        {'names': ['symlink', 'symlinkat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 13},
        {'names': ['keyctl', 'add_key', 'request_key', 'swapon'], 'action': 'SCMP_ACT_ERRNO'},
        {'names': ['personality'], 'action': 'SCMP_ACT_ERRNO',
         'args': [{'index': 0, 'value': 0xdead, 'op': 'SCMP_CMP_EQ'}]},
    ],
}


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def layout():
    """Which versions of control groups this place shows: v1, v2 or hybrid."""
    kinds = {l.split(' - ')[1].split()[0] for l in read('/proc/self/mountinfo').splitlines()}
    return 'hybrid' if {'cgroup', 'cgroup2'} <= kinds else 'v2' if 'cgroup2' in kinds else 'v1'


class Host:
    """Where the tests run: the runtime, our command, the workload program."""

    def __init__(self, runtime, crun_criu, workload):
        self.runtime = runtime
        self.program = shutil.which(runtime)
        self.crun_criu = crun_criu
        self.workload = workload
        self.layout = layout()
        self.options = []
        # With both versions of control groups the controllers stay in version 1; in a jail that
        # shows only version 2 there are none, and crun must be told to do without.
        if runtime == 'crun' and self.layout == 'v2' and \
                'pids' not in read('/sys/fs/cgroup/cgroup.controllers').split():
            self.options = ['--cgroup-manager=disabled']
        self.has_cgroups = not self.options


def enter():
    """Arguments: RUNTIME plain|v1|v2 CRUN-CRIU WORKLOAD [CASE]... Returns the host, in its jail."""
    if len(sys.argv) < 5:
        sys.exit(f'usage: {sys.argv[0]} crun|runc plain|v1|v2 CRUN-CRIU WORKLOAD [CASE]...')
    runtime, view = sys.argv[1:3]
    crun_criu, workload = sys.argv[3:5] = [os.path.abspath(x) for x in sys.argv[3:5]]
    inside = os.environ.get('CONTAINER_TEST') == 'inside'
    why = None
    if os.geteuid() != 0:
        why = 'containers need root'
    elif not shutil.which(runtime):
        why = f'there is no {runtime}'
    elif not shutil.which('busybox'):
        why = 'there is no busybox'
    elif view == 'v1' and not inside and layout() == 'v2':
        why = 'this host has no control groups of version 1'
    elif view == 'v2' and not inside and layout() == 'v1':
        why = 'this host has no control groups of version 2'
    if why:
        print(f'1..0 # SKIP {why}')
        sys.exit(0)
    if view != 'plain' and not inside:
        os.environ['CONTAINER_TEST'] = 'inside'
        os.execv(f'{LIB}/cgroup-jail', [f'{LIB}/cgroup-jail', view, sys.executable, *sys.argv])
    if runtime == 'crun' and not inside:
        sys.exit('crun runs in a jail only: say v1 or v2')
    become_reaper()
    os.umask(0o022)
    return Host(runtime, crun_criu, workload)


# ---- what a process is, for comparisons ----

def merged_maps(pid):
    """Areas without devices and inodes; neighbours that are one area to the program are merged."""
    result = []
    for line in read(f'/proc/{pid}/maps').splitlines():
        span, perms, offset, _, inode, *name = line.split(None, 5)
        start, end = (int(x, 16) for x in span.split('-'))
        name = name[0] if name else ''
        offset = int(offset, 16) if name.startswith('/') and inode != '0' else 0
        last = result[-1] if result else None
        if last and last[1] == start and last[2] == perms and last[4] == name and \
                (not offset or last[3] + last[1] - last[0] == offset):
            last[1] = end
        else:
            result.append([start, end, perms, offset, name])
    return [f'{s:x}-{e:x} {p} {o:x} {n}' for s, e, p, o, n in result]


def mounts_of(pid):
    """Mounts without ids, device numbers of nameless file systems and numbers of peer groups."""
    rows, names = [], {}
    for line in read(f'/proc/{pid}/mountinfo').splitlines():
        left, right = line.split(' - ', 1)
        mount, parent, _, root, place, options, *optional = left.split()
        names[mount] = place
        optional = ' '.join(sorted(x.split(':')[0] for x in optional))
        # A hierarchy of version 1 is bound from the host, and has its source there from then on.
        right = re.sub(r'^cgroup \S+', 'cgroup -', right)
        rows.append((names.get(parent, '-'), root, place, ','.join(sorted(options.split(','))), optional,
                     right))
    return rows


def status_of(pid):
    """Credentials and filters, and the limits."""
    keys = ('Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs',
            'Seccomp', 'Seccomp_filters', 'SigBlk', 'SigIgn', 'SigCgt', 'Umask', 'Name', 'NSpid', 'Threads')
    fields = dict(l.split(':', 1) for l in read(f'/proc/{pid}/status').splitlines() if ':' in l)
    result = {k: fields[k].strip() for k in keys if k in fields}
    result['NSpid'] = result.get('NSpid', '').split()[1:]
    result['limits'] = read(f'/proc/{pid}/limits').splitlines()
    result['oom_score_adj'] = read(f'/proc/{pid}/oom_score_adj').strip()
    result['cgroup'] = read(f'/proc/{pid}/cgroup').splitlines()
    result['cmdline'] = read(f'/proc/{pid}/cmdline')
    return result


def descriptors_of(pid):
    """Without the position in the log, which moves on. A pipe of the caller of a restore is opened
    again, so that its flags are its own; that shows as O_LARGEFILE."""
    result = {}
    for fd, (kind, flags, pos) in fds_of(pid).items():
        if kind == 'pipe':
            flags = f'0{int(flags, 8) & ~0o100000:o}'
        result[fd] = (kind, flags, '-' if kind.endswith('/log') else pos)
    return result


def inner_pid(pid):
    for line in read(f'/proc/{pid}/status').splitlines():
        if line.startswith('NSpid:'):
            return int(line.split()[-1])
    return 0


def snapshot(pid, lasting=None):
    """
    By pid inside the container; lasting: of those that are there all the time, None for all. Programs that come
    and go are left out. A shell that redirects something holds descriptors that are not its own for a moment:
    what is seen twice alike counts.
    """
    seen = [snapshot_once(pid, lasting)]

    def still():
        time.sleep(0.15)
        seen.append(snapshot_once(pid, lasting))
        return seen[-1] == seen[-2]
    until(still, 'processes that stay as they are', 20)
    return seen[-1]


def describe(p, volatile):
    """What there is of one process; None when it is not to be looked at."""
    words = read(f'/proc/{p}/cmdline').split('\0')
    if os.path.basename(words[0]) in volatile:
        return None
    if not alive(p):
        return {'state': 'zombie'}
    return {'maps': merged_maps(p), 'descriptors': descriptors_of(p), 'status': status_of(p), 'mounts': mounts_of(p)}


def snapshot_once(pid, lasting, volatile=('sleep',)):
    result = {}
    for p in tree_of(pid):
        while True:
            try:
                inner, what = inner_pid(p), describe(p, volatile)
            except (FileNotFoundError, ProcessLookupError):
                # a descriptor that it closed in between, or the end of the process itself
                if os.path.exists(f'/proc/{p}'):
                    continue
                break
            if what and (lasting is None or inner in lasting):
                result[inner] = what
            break
    return result


def differences(a, b):
    """As lines; what is gone and what is new stand side by side."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [f'{k}: {x}' for k in a.keys() | b.keys() for x in differences(a.get(k), b.get(k))]
    if not isinstance(a, list) or not isinstance(b, list):
        return [] if a == b else [f'{a} -> {b}']
    gone, new = [x for x in a if x not in b], [x for x in b if x not in a]
    lines = [f'{x} -> {y}' for x, y in zip(gone, new)]
    lines += [f'-{x}' for x in gone[len(new):]] + [f'+{x}' for x in new[len(gone):]]
    return lines if lines or a == b else ['in another order']


def compare(before, after, ignore=()):
    """Fails with the first differences of two snapshots."""
    lines = []
    for pid in sorted(before.keys() | after.keys()):
        if pid not in after or pid not in before:
            lines.append(f'pid {pid} is {"new" if pid in after else "missing"}')
            continue
        for what in before[pid]:
            a, b = before[pid][what], after[pid].get(what)
            if what in ignore or a == b:
                continue
            lines += [f'pid {pid}: {what}: {x}' for x in differences(a, b)]
    if lines:
        raise Failed(f'{len(lines)} changes: ' + '; '.join(lines[:8]))


# ---- the container ----

class Container:
    """A container in a folder of its own, with everything that a test asks of it."""

    def __init__(self, host, edit=None, args=('/bin/counter',), stdio='file', workload=False):
        self.host = host
        self.top = tempfile.mkdtemp(prefix='ckpt-ct-')
        self.name = os.path.basename(self.top)
        self.root = f'{self.top}/state'
        self.bundle = f'{self.top}/bundle'
        self.out = f'{self.top}/out'
        self.stdio = stdio
        self.pipe = None
        self.known = set()
        self.rounds = 0
        os.chmod(self.top, 0o755)
        os.mkdir(self.out)
        os.chmod(self.out, 0o777)
        self.make_rootfs(workload)
        self.spec = self.make_spec(list(args), edit)

    # -- making --

    def make_rootfs(self, workload):
        rootfs = f'{self.bundle}/rootfs'
        for folder in ('bin', 'dev', 'proc', 'sys', 'tmp', 'out', 'etc'):
            os.makedirs(f'{rootfs}/{folder}')
        os.chmod(f'{rootfs}/tmp', 0o1777)
        shutil.copy(shutil.which('busybox'), f'{rootfs}/bin/busybox')
        for applet in APPLETS:
            os.symlink('busybox', f'{rootfs}/bin/{applet}')
        with open(f'{rootfs}/bin/counter', 'w', encoding='utf-8') as f:
            f.write(COUNTER)
        os.chmod(f'{rootfs}/bin/counter', 0o755)
        if workload:
            shutil.copy(self.host.workload, f'{rootfs}/bin/workload')
            for lib in re.findall(r'(/\S+) \(0x', run(['ldd', self.host.workload]).stdout):
                os.makedirs(rootfs + os.path.dirname(lib), exist_ok=True)
                shutil.copy(lib, rootfs + lib)

    def make_spec(self, args, edit):
        out = run([self.host.program, 'spec'], 20, cwd=self.bundle)
        if out.returncode:
            raise Failed(f'{self.host.runtime} spec: {out.stderr.strip()}')
        spec = json.loads(read(f'{self.bundle}/config.json'))
        spec['process']['terminal'] = False
        spec['process']['args'] = args
        spec['mounts'].append({'destination': '/out', 'type': 'bind', 'source': self.out,
                               'options': ['rbind', 'rw']})
        # A path of its own below the root of every hierarchy.
        if self.host.has_cgroups:
            spec['linux']['cgroupsPath'] = f'/{self.name}'
        if edit:
            edit(spec)
        self.write_spec(spec, self.bundle)
        return spec

    @staticmethod
    def write_spec(spec, bundle):
        with open(f'{bundle}/config.json', 'w', encoding='utf-8') as f:
            json.dump(spec, f, indent=1)

    # -- commands --

    def streams(self):
        """Standard streams for a runtime that starts the container, as the test wants them."""
        if self.stdio == 'null':
            return {x: subprocess.DEVNULL for x in ('stdin', 'stdout', 'stderr')}
        if self.stdio == 'file':
            log = os.open(f'{self.top}/log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            return {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log}
        if self.pipe:
            os.close(self.pipe)
        self.pipe, write_end = os.pipe()
        fcntl.fcntl(self.pipe, fcntl.F_SETFL, os.O_NONBLOCK)
        return {'stdin': subprocess.DEVNULL, 'stdout': write_end, 'stderr': write_end}

    def with_streams(self, argv, seconds=60):
        """Runs a command whose streams the container gets; it cannot be told apart what wrote."""
        streams = self.streams()
        try:
            return subprocess.run(argv, timeout=seconds, check=False, cwd=self.top, **streams).returncode
        except subprocess.TimeoutExpired as e:
            raise Failed(f'{os.path.basename(argv[0])} {argv[1]}: nothing after {seconds} s') from e
        finally:
            for fd in {x for x in streams.values() if x >= 0}:
                os.close(fd)

    def stdout_text(self):
        if self.stdio == 'file':
            return read(f'{self.top}/log')
        try:
            return os.read(self.pipe, 1 << 20).decode(errors='replace')
        except BlockingIOError:
            return ''

    def runtime_argv(self, *words):
        return [self.host.program, *self.host.options, '--root', self.root, *words]

    def runtime(self, *words, seconds=30, **kwargs):
        return run(self.runtime_argv(*words), seconds, cwd=self.top, **kwargs)

    def ours_argv(self, *words):
        return [self.host.crun_criu, '--runtime', self.host.program, *self.host.options, '--root', self.root,
                *words]

    def ours(self, *words, seconds=60, **kwargs):
        return run(self.ours_argv(*words), seconds, cwd=self.top, **kwargs)

    def must(self, out, what):
        if out.returncode:
            raise Failed(f'{what}: status {out.returncode}: {out.stderr.strip()[-900:]}')
        return out.stdout

    # -- the life of a container --

    def start(self):
        argv = self.runtime_argv('run', '--detach', '--bundle', self.bundle, self.name)
        status = self.with_streams(argv)
        if status:
            raise Failed(f'{self.host.runtime} run: status {status}: {self.stdout_text()[-600:]}')
        self.note()
        return self

    def state(self):
        return json.loads(self.must(self.runtime('state', self.name), f'{self.host.runtime} state'))

    @property
    def pid(self):
        return self.state()['pid']

    def note(self):
        """Remembers the processes, to see later that they are gone."""
        self.known |= set(tree_of(self.pid))

    def counted(self):
        """The numbers so far; they must be without a gap and from one shell."""
        text = read(f'{self.out}/count') if os.path.exists(f'{self.out}/count') else ''
        rows = [l.split() for l in text[:text.rfind('\n') + 1].splitlines()]
        for i, row in enumerate(rows, 1):
            if row != [str(i), rows[0][1]]:
                raise Failed(f'line {i} of the counter is {" ".join(row)}')
        return len(rows)

    def counts_on(self, by=3):
        first = self.counted()
        until(lambda: self.counted() >= first + by, f'counting on from {first}', 10)

    def snapshot(self, pid=None):
        """Of a counter, the two shells: their children come and go."""
        path = f'{self.out}/lasting'
        lasting = {int(x) for x in read(path).split()} if os.path.exists(path) else None
        return snapshot(pid or self.pid, lasting)

    def verify_workload(self):
        """Tells the workload to verify itself."""
        result = f'{self.out}/result'
        pid = self.pid
        os.kill(pid, signal.SIGUSR1)

        def answer():
            if not alive(pid):
                raise Failed('verify: the workload has ended')
            return os.path.exists(result)
        until(answer, 'verify', 30)
        text = read(result).strip()
        os.unlink(result)
        if text != 'PASS':
            raise Failed(f'verify: {text}')

    def checkpoint(self, *options, images=None):
        """Checkpoints into a new folder and returns it."""
        self.rounds += 1
        images = images or f'{self.top}/images-{self.rounds}'
        self.note()
        out = self.ours('checkpoint', '--image-path', images, *options, self.name)
        self.must(out, 'checkpoint')
        if '--leave-running' not in options:
            self.is_gone()
        return images

    def restore(self, images, *options, bundle=None):
        pid_file = f'{self.top}/pid-{self.rounds}'
        argv = ['restore', '--image-path', images, '--bundle', bundle or self.bundle, '--detach',
                '--pid-file', pid_file, *options, self.name]
        if self.stdio == 'pipe':
            status = self.with_streams(self.ours_argv(*argv))
            if status:
                raise Failed(f'restore: status {status}: {self.stdout_text()[-900:]}')
        else:
            self.must(self.ours(*argv), 'restore')
        state = self.state()
        if state['status'] != 'running' or not alive(state['pid']):
            raise Failed(f'after restore the container is {state["status"]}')
        if read(pid_file).strip() != str(state['pid']):
            raise Failed(f'the pid file has {read(pid_file)!r}, the state {state["pid"]}')
        os.unlink(pid_file)
        self.note()

    def is_gone(self):
        """After a checkpoint: the runtime does not know it, nothing of it is left."""
        if self.runtime('state', self.name).returncode == 0:
            raise Failed(f'{self.host.runtime} still knows the container')
        if self.name in self.must(self.runtime('list'), 'list'):
            raise Failed(f'{self.host.runtime} still lists the container')
        until(lambda: all([reap(p) for p in self.known]), 'the processes to be gone', 10)
        self.leaves_nothing()

    def leaves_nothing(self):
        left = self.leftovers()
        if left:
            raise Failed('left behind: ' + '; '.join(left[:6]))

    def leftovers(self):
        left = []
        if os.path.isdir(self.root):
            left += [f'{self.root}/{x}' for x in os.listdir(self.root)
                     if x == self.name or x.startswith(f'.{self.name}')]
        for where, folders, _ in os.walk('/sys/fs/cgroup'):
            left += [f'{where}/{x}' for x in folders if self.name in x]
        own = read('/proc/self/mountinfo')
        left += [f'mount {l.split()[4]}' for l in own.splitlines() if self.name in l]
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if alive(int(pid)) and int(pid) != os.getpid() and \
                        (self.name in read(f'/proc/{pid}/cgroup') or
                         (read(f'/proc/{pid}/mountinfo') != own and
                          self.name in read(f'/proc/{pid}/mountinfo'))):
                    left.append(f'process {pid} ({read(f"/proc/{pid}/comm").strip()})')
            except (OSError, ValueError):
                pass
        return left

    def exec(self, *words, **kwargs):
        return self.runtime('exec', self.name, *words, **kwargs)

    def end(self):
        """Kill and delete by the runtime, as its user would; then nothing is left."""
        self.check_groups()
        self.note()
        pid = self.pid
        self.must(self.runtime('kill', self.name, 'KILL'), 'kill')
        until(lambda: reap(pid) or not alive(pid), 'a killed container to be gone', KILL_WAIT)
        until(lambda: self.state()['status'] == 'stopped', 'the state "stopped"', 10)
        self.must(self.runtime('delete', self.name), 'delete')
        until(lambda: all([reap(p) for p in self.known]), 'the processes to be gone', 10)
        self.leaves_nothing()

    def check_groups(self):
        """The groups in the runtime's state must be the container's own: delete empties them."""
        state_dir = f'{self.root}/{self.name}'
        if self.host.runtime == 'crun':
            paths = [json.loads(read(f'{state_dir}/status'))['cgroup-path']]
            if not self.host.has_cgroups:
                if paths[0]:
                    raise Failed(f'the state names the group {paths[0]}, and there was none')
                return
        else:
            paths = list(json.loads(read(f'{state_dir}/state.json'))['cgroup_paths'].values())
        for path in paths:
            if os.path.basename(path) != self.name:
                raise Failed(f'the state names the group {path!r}, which is not the container\'s')

    def close(self):
        """Whatever happened: kills what is left, by hand and by name, and removes all folders."""
        try:
            for line in self.leftovers():
                self.remove(line)
            until(lambda: all([reap(p) or not alive(p) for p in self.known]), 'the end', 10)
            for line in self.leftovers():
                self.remove(line)
        finally:
            if self.pipe:
                os.close(self.pipe)
            if not os.environ.get('KEEP'):
                shutil.rmtree(self.top, ignore_errors=True)

    def remove(self, line):
        words = line.split()
        try:
            if words[0] == 'process':
                self.thaw()
                os.kill(int(words[1]), signal.SIGKILL)
                time.sleep(0.02)
                reap(int(words[1]))
            elif words[0] == 'mount':
                run(['umount', '--lazy', words[1]], 10)
            elif line.startswith('/sys/fs/cgroup/'):
                for where, _, _ in os.walk(line, topdown=False):
                    os.rmdir(where)
        except OSError:
            pass

    def thaw(self):
        for where, _, files in os.walk('/sys/fs/cgroup'):
            if self.name in where:
                for name, word in (('freezer.state', 'THAWED'), ('cgroup.freeze', '0')):
                    if name in files:
                        with open(f'{where}/{name}', 'w', encoding='utf-8') as f:
                            f.write(word)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wanted(name):
    """Words behind the four arguments name cases; without any, all are run."""
    return len(sys.argv) < 6 or name in sys.argv[5:]


__all__ = ['Container', 'Failed', 'Host', 'SECCOMP', 'Skipped', 'alive', 'compare', 'enter', 'read', 'snapshot',
           'status_of', 'until', 'wanted', 'merged_maps', 'mounts_of', 'inner_pid', 'tree_of', 'reap', 'run']
