# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of CRIU's RPC for tests, with the wire format by hand, so that it can also be wrong.

A request is a dictionary of the fields below; what comes back is one too.
"""
import array
import os
import socket
import subprocess

TYPES = {'EMPTY': 0, 'DUMP': 1, 'RESTORE': 2, 'CHECK': 3, 'PRE_DUMP': 4, 'PAGE_SERVER': 5, 'NOTIFY': 6,
         'CPUINFO_DUMP': 7, 'CPUINFO_CHECK': 8, 'FEATURE_CHECK': 9, 'VERSION': 10, 'WAIT_PID': 11,
         'PAGE_SERVER_CHLD': 12, 'SINGLE_PRE_DUMP': 13}
NAMES = {v: k for k, v in TYPES.items()}

# Field numbers; a dictionary stands for a message inside.
PAIR = {'first': 1, 'second': 2}
PS = {'address': 1, 'port': 2, 'pid': 3, 'fd': 4}
FEATURES = {'mem_track': 1, 'lazy_pages': 2, 'pidfd_store': 3}
OPTS = {
    'images_dir_fd': 1, 'pid': 2, 'leave_running': 3, 'ext_unix_sk': 4, 'tcp_established': 5,
    'evasive_devices': 6, 'shell_job': 7, 'file_locks': 8, 'log_level': 9, 'log_file': 10, 'ps': (11, PS),
    'notify_scripts': 12, 'root': 13, 'parent_img': 14, 'track_mem': 15, 'auto_dedup': 16, 'work_dir_fd': 17,
    'link_remap': 18, 'veths': (19, {'if_in': 1, 'if_out': 2}), 'cpu_cap': 20, 'force_irmap': 21, 'exec_cmd': 22,
    'ext_mnt': (23, {'key': 1, 'val': 2}), 'manage_cgroups': 24, 'cg_root': (25, {'ctrl': 1, 'path': 2}),
    'rst_sibling': 26, 'inherit_fd': (27, {'key': 1, 'fd': 2}), 'auto_ext_mnt': 28, 'ext_sharing': 29,
    'ext_masters': 30, 'skip_mnt': 31, 'enable_fs': 32, 'unix_sk_ino': (33, {'inode': 1}),
    'manage_cgroups_mode': 34, 'ghost_limit': 35, 'irmap_scan_paths': 36, 'external': 37, 'empty_ns': 38,
    'join_ns': (39, {'ns': 1, 'ns_file': 2, 'extra_opt': 3}), 'cgroup_props': 41, 'cgroup_props_file': 42,
    'cgroup_dump_controller': 43, 'freeze_cgroup': 44, 'timeout': 45, 'tcp_skip_in_flight': 46,
    'weak_sysctls': 47, 'lazy_pages': 48, 'status_fd': 49, 'orphan_pts_master': 50, 'config_file': 51,
    'tcp_close': 52, 'lsm_profile': 53, 'cgroup_yard': 60, 'pre_dump_mode': 61, 'pidfd_store_sk': 62,
    'lsm_mount_context': 63, 'network_lock': 64, 'mntns_compat_mode': 65, 'skip_file_rwx_check': 66,
    'unprivileged': 67, 'images_dir': 68, 'leave_stopped': 69, 'display_stats': 70, 'log_to_stderr': 71,
}
REQUEST = {'type': 1, 'opts': (2, OPTS), 'notify_success': 3, 'keep_open': 4, 'features': (5, FEATURES), 'pid': 6}
RESPONSE = {'type': 1, 'success': 2, 'dump': (3, {'restored': 1}), 'restore': (4, {'pid': 1}),
            'notify': (5, {'script': 1, 'pid': 2}), 'ps': (6, PS), 'cr_errno': 7, 'features': (8, FEATURES),
            'cr_errmsg': 9,
            'version': (10, {'major': 1, 'minor': 2, 'gitid': 3, 'sublevel': 4, 'extra': 5, 'name': 6}),
            'status': 11}


def varint(n):
    n &= (1 << 64) - 1
    out = b''
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def encode(fields, message):
    out = b''
    for name, values in message.items():
        spec = fields[name]
        number, inside = spec if isinstance(spec, tuple) else (spec, None)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                value = encode(inside, value)
            if isinstance(value, str):
                value = value.encode()
            if isinstance(value, bytes):
                out += varint(number << 3 | 2) + varint(len(value)) + value
            else:
                out += varint(number << 3) + varint(int(value))
    return out


def take_varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return n, at


def decode(fields, data):
    numbers = {(s[0] if isinstance(s, tuple) else s): (n, s[1] if isinstance(s, tuple) else None)
               for n, s in fields.items()}
    result, at = {}, 0
    while at < len(data):
        key, at = take_varint(data, at)
        value, at = take_varint(data, at)
        name, inside = numbers[key >> 3]
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
            value = decode(inside, value) if inside else value.decode(errors='replace')
        elif value >= 1 << 63:
            value -= 1 << 64
        result[name] = value
    return result


def request(kind, **fields):
    return encode(REQUEST, {'type': TYPES.get(kind, kind), **fields})


class Connection:
    """A socket that speaks the protocol."""

    def __init__(self, sock, seconds=30):
        self.sock = sock
        sock.settimeout(seconds)
        self.stages = []   # (name, pid) in the order in which they came
        self.fds = []      # descriptors that came with them

    def send(self, kind, **fields):
        self.sock.send(request(kind, **fields))

    def receive(self):
        """The next message, or None at the end of the connection."""
        try:
            data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(4 * 8))
        except ConnectionResetError:
            return None
        for level, kind, payload in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array('i')
                numbers.frombytes(payload)
                self.fds += numbers
        if not data:
            return None
        message = decode(RESPONSE, data)
        message['type'] = NAMES.get(message['type'], message['type'])
        return message

    def call(self, kind, at_stage=None, **fields):
        """Sends a request and answers notifications until the reply. at_stage(name, pid) may refuse."""
        self.send(kind, **fields)
        while True:
            message = self.receive()
            if not message or message['type'] != 'NOTIFY':
                return message
            stage = message['notify']['script']
            self.stages.append((stage, message['notify'].get('pid')))
            answer = at_stage(stage, message['notify'].get('pid')) if at_stage else True
            more = answer if isinstance(answer, dict) else {}
            self.send('NOTIFY', notify_success=bool(answer), **more)

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Swrk(Connection):
    """A worker of our own: criu swrk FD."""

    def __init__(self, engine, pass_fds=(), env=None, options=(), **kwargs):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen([engine, *options, 'swrk', str(theirs.fileno())],
                                            pass_fds=(theirs.fileno(), *pass_fds), stdin=subprocess.DEVNULL,
                                            stderr=subprocess.PIPE, env=env, **kwargs)
        super().__init__(ours)

    def status(self, seconds=30):
        """Ends the connection; the exit status and what it said."""
        self.close()
        text = self.process.communicate(timeout=seconds)[1].decode(errors='replace')
        return self.process.returncode, text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()


class Client(Connection):
    """A connection to a service."""

    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(path)
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
