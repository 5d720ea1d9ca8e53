/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who a process is and what it may do: credentials, seccomp, limits, scheduling, prctl(2) values.
 */
#include "tests/workloads/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* The lines of /proc/self/status that begin with one of the words, joined. */
static void status_lines(const char *const *words, char *text, size_t size)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[4096];
	size_t n = 0;

	text[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		for (const char *const *w = words; *w; w++)
			if (!strncmp(line, *w, strlen(*w)) && n < size)
				n += (size_t)snprintf(text + n, size - n, "%s", line);
	if (f)
		fclose(f);
}

/* Names the first line that differs. */
static int same_lines(const char *now, const char *was, const char *what)
{
	while (*now && *now == *was) {
		now++;
		was++;
	}
	if (*now == *was)
		return WL_OK;
	return fail("%s changed at: '%.40s', was '%.40s'", what, now, was);
}

/* ---- credentials: in a child, so that the first process keeps its rights ---- */

static const char *const cred_words[] = { "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", NULL };

static struct {
	struct station *station;
	char lines[8192];
	int securebits, dumpable;
} creds;

static int cap_set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> 32 * i);
		data[i].permitted = (uint32_t)(permitted >> 32 * i);
		data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
	}
	return (int)syscall(SYS_capset, &head, data);
}

#define CAP(name) (UINT64_C(1) << CAP_##name)

static int creds_change(void)
{
	static const gid_t groups[] = { 3, 70, 700, 70000, 65534 };
	const uint64_t keep = CAP(DAC_OVERRIDE) | CAP(KILL) | CAP(NET_BIND_SERVICE) | CAP(SETUID) |
			      CAP(SETGID) | CAP(SETPCAP);

	if (setgroups(ARRAY_SIZE(groups), groups) < 0)
		return fail_errno("setgroups");
	if (prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE) < 0 || prctl(PR_CAPBSET_DROP, CAP_MKNOD) < 0)
		return fail_errno("PR_CAPBSET_DROP");
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP_LOCKED) < 0)
		return fail_errno("PR_SET_SECUREBITS");
	if (setresgid(100, 101, 102) < 0 || setresuid(1000, 1001, 1002) < 0)
		return fail_errno("setresuid");
	if (cap_set(CAP(DAC_OVERRIDE) | CAP(SETUID) | CAP(SETGID), keep,
		    CAP(NET_BIND_SERVICE) | CAP(KILL)) < 0)
		return fail_errno("capset");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) < 0)
		return fail_errno("PR_CAP_AMBIENT");
	setfsuid(1003);
	setfsgid(103);
	/* A change of ids makes a process undumpable; the value is part of what must be kept. */
	creds.dumpable = prctl(PR_GET_DUMPABLE);
	creds.securebits = prctl(PR_GET_SECUREBITS);
	status_lines(cred_words, creds.lines, sizeof(creds.lines));
	return creds.lines[0] ? WL_OK : fail("/proc/self/status cannot be read");
}

static int creds_child_verify(void *arg)
{
	static char now[8192];

	status_lines(cred_words, now, sizeof(now));
	if (same_lines(now, creds.lines, "credentials") != WL_OK)
		return WL_FAIL;
	if (prctl(PR_GET_SECUREBITS) != creds.securebits)
		return fail("secure bits are 0x%x, were 0x%x", prctl(PR_GET_SECUREBITS),
			    creds.securebits);
	if (prctl(PR_GET_DUMPABLE) != creds.dumpable)
		return fail("dumpable is %d, was %d", prctl(PR_GET_DUMPABLE), creds.dumpable);
	return WL_OK;
}

static void creds_child(void *arg)
{
	if (creds_change() == WL_OK)
		station_serve(creds.station, creds_child_verify, NULL);
	for (;;)
		station_answer(creds.station, station_wait(creds.station), WL_FAIL);
}

static int creds_verify(void)
{
	return station_ask(creds.station, "child with other credentials");
}

static int creds_setup(void)
{
	if (geteuid() != 0)
		return skip("needs root");
	creds.station = stations_new(1);
	if (!creds.station || child_start(creds_child, NULL) < 0)
		return fail_errno("starting a child");
	return creds_verify();
}

/* ---- seccomp-filter: two filters, one above the other ---- */

static struct station *filtered;

static int add_filter(long syscall_nr, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)syscall_nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static int filtered_verify(void *arg)
{
	static const char *const words[] = { "Seccomp", NULL };
	char lines[256];
	struct utsname uts;

	if (prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER)
		return fail("the seccomp mode is %d", prctl(PR_GET_SECCOMP));
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return fail("no_new_privs is lost");
	status_lines(words, lines, sizeof(lines));
	if (strstr(lines, "Seccomp_filters") && !strstr(lines, "Seccomp_filters:\t2"))
		return fail("not two filters any more: %s", lines);
	if (uname(&uts) == 0 || errno != EXDEV)
		return fail("the older filter does not refuse uname(2)");
	if (syscall(SYS_getpriority, PRIO_PROCESS, 0) >= 0 || errno != ENOTTY)
		return fail("the newer filter does not refuse getpriority(2)");
	return getpid() == syscall(SYS_getpid) ? WL_OK : fail("getpid(2) gives another number");
}

static void filtered_child(void *arg)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    add_filter(SYS_uname, SECCOMP_RET_ERRNO | EXDEV, 0) == 0 &&
	    add_filter(SYS_getpriority, SECCOMP_RET_ERRNO | ENOTTY, 0) == 0)
		station_serve(filtered, filtered_verify, NULL);
	fail_errno("seccomp");
	for (;;)
		station_answer(filtered, station_wait(filtered), WL_FAIL);
}

static int seccomp_verify(void)
{
	return station_ask(filtered, "filtered child");
}

static int seccomp_setup(void)
{
	if (prctl(PR_GET_SECCOMP) < 0)
		return skip("this kernel has no seccomp");
	filtered = stations_new(1);
	if (!filtered || child_start(filtered_child, NULL) < 0)
		return fail_errno("starting a child");
	return seccomp_verify();
}

/* ---- seccomp-threads: threads that the kernel knows to have the same filters ---- */

static struct station *synced;

static void *synced_thread(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/*
 * The kernel gives the filters of one thread to the others only if theirs are older ones of the
 * same chain. It does so here every time, so the chain grows.
 */
static int synced_verify(void *arg)
{
	int r = add_filter(SYS_getpriority, SECCOMP_RET_ERRNO | ENOTTY, SECCOMP_FILTER_FLAG_TSYNC);

	if (r > 0)
		return fail("thread %d has filters of its own", r);
	return r < 0 ? fail_errno("seccomp") : WL_OK;
}

static void synced_child(void *arg)
{
	pthread_t thread;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    add_filter(SYS_uname, SECCOMP_RET_ERRNO | EXDEV, 0) == 0 &&
	    pthread_create(&thread, NULL, synced_thread, NULL) == 0 &&
	    add_filter(SYS_getpriority, SECCOMP_RET_ERRNO | ENOTTY, 0) == 0 &&
	    pthread_create(&thread, NULL, synced_thread, NULL) == 0)
		station_serve(synced, synced_verify, NULL);
	fail_errno("filters of threads");
	for (;;)
		station_answer(synced, station_wait(synced), WL_FAIL);
}

static int synced_ask(void)
{
	return station_ask(synced, "child with filtered threads");
}

static int synced_setup(void)
{
	if (prctl(PR_GET_SECCOMP) < 0)
		return skip("this kernel has no seccomp");
	synced = stations_new(1);
	if (!synced || child_start(synced_child, NULL) < 0)
		return fail_errno("starting a child");
	return synced_ask();
}

/* ---- seccomp-strict: a child that may only read, write and exit ---- */

static struct {
	int to[2], from[2];
	pid_t pid;
} strict_mode;

static void strict_child(void *arg)
{
	char c;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
		while (read(strict_mode.to[0], &c, 1) == 1 && ++c &&
		       write(strict_mode.from[1], &c, 1) == 1)
			;
	syscall(SYS_exit, 1);
}

static int strict_verify(void)
{
	struct pollfd p = { .fd = strict_mode.from[0], .events = POLLIN };
	char c = 'a', path[64], line[128] = "";
	FILE *f;

	if (write(strict_mode.to[1], &c, 1) != 1 || poll(&p, 1, 20000) != 1 ||
	    read(strict_mode.from[0], &c, 1) != 1 || c != 'b')
		return fail("the child gives no answer");
	snprintf(path, sizeof(path), "/proc/%d/status", strict_mode.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) && strncmp(line, "Seccomp:", 8) != 0)
		;
	if (f)
		fclose(f);
	return strcmp(line, "Seccomp:\t1\n") == 0 ? WL_OK : fail("the child has %s", line);
}

static int strict_setup(void)
{
	if (pipe(strict_mode.to) < 0 || pipe(strict_mode.from) < 0)
		return fail_errno("pipe");
	strict_mode.pid = child_start(strict_child, NULL);
	return strict_mode.pid < 0 ? fail_errno("fork") : strict_verify();
}

/* ---- loginuid ---- */

static struct station *logged_in;

static int login_verify(void *arg)
{
	char text[16] = "";
	int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return fail_errno("reading the login uid");
	close(fd);
	return strcmp(text, "12345") == 0 ? WL_OK : fail("the login uid is %s", text);
}

static void login_child(void *arg)
{
	int fd = open("/proc/self/loginuid", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && (write(fd, "12345", 5) == 5 || errno == EPERM))
		close(fd);
	station_serve(logged_in, login_verify, NULL);
}

static int login_ask(void)
{
	return station_ask(logged_in, "child with a login uid");
}

static int login_setup(void)
{
	if (access("/proc/self/loginuid", W_OK) < 0)
		return skip("this kernel has no login uids");
	logged_in = stations_new(1);
	if (!logged_in || child_start(login_child, NULL) < 0)
		return fail_errno("starting a child");
	return login_ask();
}

/* ---- rlimits ---- */

static struct rlimit limits[RLIM_NLIMITS];

int rlimits_setup(void)
{
	static const struct {
		int which;
		rlim_t soft, hard;
	} wanted[] = {
		{ RLIMIT_CORE, 12345, 67890 },
		{ RLIMIT_CPU, 100000, RLIM_INFINITY },
		{ RLIMIT_FSIZE, 1ull << 42, 1ull << 43 },
		{ RLIMIT_STACK, 8 << 20, 1 << 30 },
		{ RLIMIT_NOFILE, 900, 1000 },
		{ RLIMIT_MSGQUEUE, 500000, 600000 },
		{ RLIMIT_RTTIME, 700000, 800000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct rlimit rl;

		getrlimit(wanted[i].which, &rl);
		/* Only downwards, so no privilege is needed. */
		if (wanted[i].hard < rl.rlim_max)
			rl.rlim_max = wanted[i].hard;
		rl.rlim_cur = wanted[i].soft < rl.rlim_max ? wanted[i].soft : rl.rlim_max;
		if (setrlimit(wanted[i].which, &rl) < 0)
			return fail_errno("setrlimit(%d)", wanted[i].which);
	}
	for (int i = 0; i < RLIM_NLIMITS; i++)
		getrlimit(i, &limits[i]);
	return WL_OK;
}

int rlimits_verify(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit rl;

		if (getrlimit(i, &rl) < 0 || rl.rlim_cur != limits[i].rlim_cur ||
		    rl.rlim_max != limits[i].rlim_max)
			return fail("limit %d is %llu/%llu, was %llu/%llu", i,
				    (unsigned long long)rl.rlim_cur,
				    (unsigned long long)rl.rlim_max,
				    (unsigned long long)limits[i].rlim_cur,
				    (unsigned long long)limits[i].rlim_max);
	}
	return WL_OK;
}

/* ---- sched: a child for each policy ---- */

/* Version 0 of what sched_setattr(2) takes. */
struct sched_v0 {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

enum { POLICY_DEADLINE = 6, MS = 1000000 };

static struct scheduled {
	const char *name;
	int policy, priority, nice;
	uint64_t runtime, deadline, period;
	bool possible;
	struct sched_v0 was;
} scheduled[] = {
	{ "other, nice 7", SCHED_OTHER, 0, 7 },
	{ "batch, nice 3", SCHED_BATCH, 0, 3 },
	{ "idle", SCHED_IDLE, 0, 0 },
	{ "fifo, priority 2", SCHED_FIFO, 2, 0 },
	{ "round robin that forks into normal", SCHED_RR | SCHED_RESET_ON_FORK, 1, 0 },
	{ "deadline", POLICY_DEADLINE, 0, 4, 2 * MS, 30 * MS, 100 * MS },
	{ "a slice of its own", SCHED_OTHER, 0, 2, 7 * MS },
};

static struct station *sched_stations;

static int sched_child_verify(void *arg)
{
	const struct scheduled *s = arg;
	struct sched_v0 now = { 0 };
	struct sched_param sp;
	int policy = sched_getscheduler(0);

	if (policy != s->policy)
		return fail("policy is 0x%x, was 0x%x", policy, s->policy);
	if (sched_getparam(0, &sp) < 0 || sp.sched_priority != s->priority)
		return fail("priority is %d, was %d", sp.sched_priority, s->priority);
	errno = 0;
	if (getpriority(PRIO_PROCESS, 0) != s->nice)
		return fail("nice is %d, was %d", getpriority(PRIO_PROCESS, 0), s->nice);
	if (strict() && (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) < 0 ||
			 memcmp(&now, &s->was, sizeof(now)) != 0))
		return fail("runtime %lu, deadline %lu, period %lu, flags %lx; they were %lu, %lu, "
			    "%lu, %lx",
			    now.runtime, now.deadline, now.period, now.flags, s->was.runtime,
			    s->was.deadline, s->was.period, s->was.flags);
	return WL_OK;
}

static bool schedule(struct scheduled *s)
{
	struct sched_param sp = { .sched_priority = s->priority };
	struct sched_v0 a = { .size = sizeof(a),
			      .policy = (uint32_t)s->policy,
			      .nice = s->nice,
			      .runtime = s->runtime,
			      .deadline = s->deadline,
			      .period = s->period };

	if (setpriority(PRIO_PROCESS, 0, s->nice) < 0)
		return false;
	if (!s->runtime && sched_setscheduler(0, s->policy, &sp) < 0)
		return false;
	if (s->runtime && (!strict() || syscall(SYS_sched_setattr, 0, &a, 0) < 0))
		return false;
	return syscall(SYS_sched_getattr, 0, &s->was, sizeof(s->was), 0) == 0;
}

static void sched_child(void *arg)
{
	struct scheduled *s = arg;
	struct station *station = &sched_stations[s - scheduled];

	s->possible = schedule(s);
	if (!s->possible)
		for (;;)
			station_answer(station, station_wait(station), WL_SKIP);
	station_serve(station, sched_child_verify, s);
}

static int sched_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(scheduled); i++)
		if (scheduled[i].possible &&
		    station_ask(&sched_stations[i], scheduled[i].name) != WL_OK)
			return WL_FAIL;
	return WL_OK;
}

static int sched_setup(void)
{
	sched_stations = stations_new(ARRAY_SIZE(scheduled));
	if (!sched_stations)
		return fail_errno("mmap");
	for (size_t i = 0; i < ARRAY_SIZE(scheduled); i++) {
		if (child_start(sched_child, &scheduled[i]) < 0)
			return fail_errno("fork");
		scheduled[i].possible = station_ask(&sched_stations[i], scheduled[i].name) == WL_OK;
		/* Realtime policies need a privilege; the others must work everywhere. */
		if (!scheduled[i].possible && !scheduled[i].priority && !scheduled[i].runtime)
			return WL_FAIL;
		reason_clear();
	}
	return WL_OK;
}

/* ---- prctl: attributes of the process itself ---- */

static struct {
	int personality, oom_score_adj, pdeathsig, subreaper, thp_disable, no_new_privs, nice;
	char name[16];
} attributes;

static int read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	int n = -99999;

	if (f && fscanf(f, "%d", &n) != 1)
		n = -99999;
	if (f)
		fclose(f);
	return n;
}

static void attributes_note(void)
{
	attributes.personality = personality(0xffffffff);
	attributes.oom_score_adj = read_number("/proc/self/oom_score_adj");
	prctl(PR_GET_PDEATHSIG, &attributes.pdeathsig);
	prctl(PR_GET_CHILD_SUBREAPER, &attributes.subreaper);
	attributes.thp_disable = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	attributes.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	attributes.nice = getpriority(PRIO_PROCESS, 0);
	prctl(PR_GET_NAME, attributes.name);
}

int attributes_setup(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (!f || fprintf(f, "321") < 0 || fclose(f) != 0)
		return fail_errno("oom_score_adj");
	if (prctl(PR_SET_NAME, "odd )name\n") < 0 || prctl(PR_SET_PDEATHSIG, SIGWINCH) < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno("prctl");
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	/* CRIU saves it and does not restore it. */
	if (strict() && personality(PER_LINUX | ADDR_NO_RANDOMIZE) < 0)
		return fail_errno("personality");
	if (setpriority(PRIO_PROCESS, 0, 4) < 0)
		return fail_errno("setpriority");
	umask(0137);
	attributes_note();
	return WL_OK;
}

static int same_number(const char *what, int now, int was)
{
	return now == was ? WL_OK : fail("%s is %d, was %d", what, now, was);
}

int attributes_verify(void)
{
	__typeof__(attributes) was = attributes;
	mode_t mask = umask(0137);
	int r;

	attributes_note();
	__typeof__(attributes) now = attributes;

	attributes = was;
	if (mask != 0137)
		return fail("umask is %o, was 0137", mask);
	if (strcmp(now.name, was.name))
		return fail("the name is '%s'", now.name);
	r = same_number("personality", now.personality, was.personality);
	if (r == WL_OK)
		r = same_number("oom_score_adj", now.oom_score_adj, was.oom_score_adj);
	if (r == WL_OK)
		r = same_number("parent-death signal", now.pdeathsig, was.pdeathsig);
	if (r == WL_OK)
		r = same_number("child subreaper", now.subreaper, was.subreaper);
	if (r == WL_OK)
		r = same_number("THP disable", now.thp_disable, was.thp_disable);
	if (r == WL_OK)
		r = same_number("no_new_privs", now.no_new_privs, was.no_new_privs);
	return r == WL_OK ? same_number("nice", now.nice, was.nice) : r;
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload identity_workloads[] = {
	{ "credentials", "ids, groups, capabilities, secure bits", NULL, creds_setup,
	  creds_verify },
	{ "seccomp-filter", "two stacked filters", NULL, seccomp_setup, seccomp_verify },
	{ "seccomp-threads", "threads with common filters", NULL, synced_setup, synced_ask },
	{ "seccomp-strict", "a child in strict mode", NULL, strict_setup, strict_verify },
	{ "loginuid", "a login uid", NULL, login_setup, login_ask },
	{ "rlimits", "resource limits", NULL, rlimits_setup, rlimits_verify },
	{ "sched", "policies, priorities, nice values", strict_params, sched_setup, sched_verify },
	{ "prctl", "name, umask, personality, oom_score_adj and prctl(2) values", strict_params,
	  attributes_setup, attributes_verify },
	{ 0 },
};
