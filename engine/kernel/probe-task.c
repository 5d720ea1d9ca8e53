/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probes of processes: ptrace, prctl, pidfds, capabilities. */
#include "engine/kernel/probes.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA 0x420d
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
enum { TIMER_CREATE_RESTORE_IDS_GET = 2 };

static int wait_for(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int probe_in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status, r;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		alarm(5);
		_exit(-fn() & 0xff); /* the errnos that a system call gives fit in a status */
	}
	r = wait_for(pid, &status);
	if (r < 0)
		return r;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int probe_nothing(void)
{
	return 0;
}

int probe_minimum(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return -EINVAL;
	return major > 5 || (major == 5 && minor >= 15) ? 0 : -ENOSYS;
}

static int have_cap(unsigned int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	return data[cap / 32].effective & 1u << cap % 32 ? 0 : -EPERM;
}

int probe_cap_checkpoint(void)
{
	return have_cap(CAP_SYS_ADMIN) == 0 ? 0 : have_cap(CAP_CHECKPOINT_RESTORE);
}

int probe_cap_ptrace(void)
{
	return have_cap(CAP_SYS_PTRACE);
}

int probe_cap_resource(void)
{
	return have_cap(CAP_SYS_RESOURCE);
}

/* Pid -1 is refused by every kernel that looks at it: nothing is made. */
int probe_clone3_set_tid(void)
{
	pid_t tid = -1;
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uint64_t)(uintptr_t)&tid,
				   .set_tid_size = 1 };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid < 0 && errno == EINVAL ? 0 : pid < 0 ? -errno : -EIO;
}

int probe_pidfd_getfd(void)
{
	cleanup_fd int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	cleanup_fd int source = eventfd(0, EFD_CLOEXEC), copy = -EBADF;

	if (self < 0 || source < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, self, source, 0);
	return copy < 0 ? -errno : 0;
}

int probe_kcmp(void)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_VM, 0, 0) < 0 ? -errno : 0;
}

int probe_kcmp_epoll(void)
{
	cleanup_fd int epoll = epoll_create1(EPOLL_CLOEXEC), target = eventfd(0, EFD_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)epoll, .tfd = (uint32_t)target };
	pid_t self = getpid();

	if (epoll < 0 || target < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, target, &event) < 0)
		return -errno;
	return syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, target, &slot) < 0 ? -errno : 0;
}

int probe_process_vm(void)
{
	char from = 'x', to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : -errno;
}

int probe_prctl_mm_map(void)
{
	unsigned int size = 0;

	return prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) < 0 ? -errno : 0;
}

int probe_timer_cr_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) < 0
		       ? -errno
		       : 0;
}

/* ---- a child that is seized and stopped ---- */

static _Noreturn void victim(int ready, bool filtered)
{
	struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { 1, allow };
	int r = 0;

	alarm(5);
	if (filtered && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0))
		r = errno;
	if (write(ready, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	for (;;)
		pause();
}

static int seize(pid_t pid)
{
	int status, r;

	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		return -errno;
	r = wait_for(pid, &status);
	return r < 0 ? r : WIFSTOPPED(status) ? 0 : -ESRCH;
}

static int with_victim(bool filtered, int (*ask)(pid_t pid))
{
	int pipes[2], setup = 0, r;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		victim(pipes[1], filtered);
	r = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (r == 0 && read(pipes[0], &setup, sizeof(setup)) != sizeof(setup))
		r = -EIO;
	close(pipes[0]);
	if (r == 0)
		r = setup ? -setup : seize(pid);
	if (r == 0)
		r = ask(pid);
	if (pid > 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	return r;
}

static int ask_registers(pid_t pid)
{
	uint8_t regs[512];
	struct iovec iov = { regs, sizeof(regs) };

	return ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

static int ask_siginfo(pid_t pid)
{
	struct __ptrace_peeksiginfo_args args = { .nr = 1 };
	siginfo_t info;

	return ptrace(PTRACE_PEEKSIGINFO, pid, &args, &info) < 0 ? -errno : 0;
}

static int ask_rseq(pid_t pid)
{
	struct {
		uint64_t pointer;
		uint32_t size, signature, flags, pad;
	} conf;

	return ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, (void *)sizeof(conf), &conf) < 0 ? -errno
											   : 0;
}

static int ask_suspend(pid_t pid)
{
	return ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_SUSPEND_SECCOMP) < 0 ? -errno
											  : 0;
}

static int ask_filter(pid_t pid)
{
	return ptrace(PTRACE_SECCOMP_GET_FILTER, pid, NULL, NULL) < 0 ? -errno : 0;
}

static int ask_metadata(pid_t pid)
{
	struct {
		uint64_t index, flags;
	} data = { 0 };

	return ptrace(PTRACE_SECCOMP_GET_METADATA, pid, (void *)sizeof(data), &data) < 0 ? -errno
											 : 0;
}

int probe_ptrace_seize(void)
{
	return with_victim(false, ask_registers);
}

int probe_peeksiginfo(void)
{
	return with_victim(false, ask_siginfo);
}

int probe_get_rseq_conf(void)
{
	return with_victim(false, ask_rseq);
}

int probe_seccomp_suspend(void)
{
	return with_victim(false, ask_suspend);
}

int probe_seccomp_filters(void)
{
	return with_victim(true, ask_filter);
}

int probe_seccomp_metadata(void)
{
	return with_victim(true, ask_metadata);
}
