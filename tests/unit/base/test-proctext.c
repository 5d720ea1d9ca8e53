/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/proctext.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "tests/lib/test.h"
#include "tests/unit/base/proctext-test.h"

static void nothing(void *p)
{
	(void)p;
}

/* ---- stat ---- */

static const char stat_618[] =
	"32533 (a)b (c\nd\\) S 32529 32528 15198 34816 -1 4194560 3078 8762 4 1 5 3 6 3 20 -5 3 0 "
	"166055 18894848 3639 18446744073709551615 94440646545408 94440646545749 140728345282496 0 "
	"0 0 "
	"65536 16781318 0 1 0 0 17 0 10 2 0 0 0 94440646557104 94440646557720 94440787984384 "
	"140728345286819 140728345286865 140728345286866 140728345288655 256\n";

TEST(stat_of_6_18)
{
	struct proc_stat s;

	check_int(proc_stat_parse(stat_618, LEN(stat_618), &s), 0);
	check_int(s.pid, 32533);
	check_str(s.comm, "a)b (c\nd\\");
	check_int(s.state, 'S');
	check_int(s.ppid, 32529);
	check_int(s.pgrp, 32528);
	check_int(s.session, 15198);
	check_int(s.tty_nr, 34816);
	check_int(s.tty_pgrp, -1);
	check_int(s.flags, 4194560);
	check_int(s.nice, -5);
	check_int(s.num_threads, 3);
	check_int(s.starttime, 166055);
	check_int(s.start_code, 94440646545408);
	check_int(s.end_code, 94440646545749);
	check_int(s.start_stack, 140728345282496);
	check_int(s.exit_signal, 17);
	check_int(s.rt_priority, 10);
	check_int(s.policy, 2);
	check_int(s.start_data, 94440646557104);
	check_int(s.end_data, 94440646557720);
	check_int(s.start_brk, 94440787984384);
	check_int(s.arg_start, 140728345286819);
	check_int(s.arg_end, 140728345286865);
	check_int(s.env_start, 140728345286866);
	check_int(s.env_end, 140728345288655);
	check_int(s.exit_code, 256);
}

TEST(stat_cut_anywhere)
{
	EVERY_CUT(stat_618, struct proc_stat, proc_stat_parse, nothing);
	/* Without its last field it is no stat line of a kernel we know. */
	for (size_t n = 0; n < LEN(stat_618) - 4; n++) {
		struct proc_stat s;

		check_int(proc_stat_parse(stat_618, n, &s), -EINVAL);
	}
}

TEST(stat_of_a_kernel_thread)
{
	static const char text[] = "1234 (kworker/u256:17-events_unbound_with_a_long_name_of_it) I "
				   "2 0 0 0 -1 69238880 0 0 0 0 "
				   "0 0 0 0 20 0 1 0 30 0 0 18446744073709551615 0 0 0 0 0 0 0 "
				   "2147483647 0 1 0 0 17 1 0 0 0 0 "
				   "0 0 0 0 0 0 0 0 0\n";
	struct proc_stat s;

	check_int(proc_stat_parse(text, LEN(text), &s), 0);
	check_str(s.comm, "kworker/u256:17-events_unbound_with_a_long_name_of_it");
	check_int(s.state, 'I');
	check_int(s.start_code, 0);
}

TEST(stat_tolerates_new_fields)
{
	char text[2048];
	struct proc_stat s;
	int n = snprintf(text, sizeof(text), "%.*s 7 new-field\n", (int)LEN(stat_618) - 1,
			 stat_618);

	check_int(proc_stat_parse(text, (size_t)n, &s), 0);
	check_int(s.exit_code, 256);
}

TEST(stat_odd)
{
	static const char *const bad[] = {
		"",
		"\n",
		"1",
		"1 (",
		"1 (x",
		"1 (x)",
		"1 (x) S",
		"1 (x) Sleeping 1 1 1",
		"x (x) S 1 1 1",
		"99999999999 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 1 1 0 0 0 0 0 0 0 "
		"0 0 0 17 0 0 "
		"0 0 0 0 0 0 0 0 0 0 0 0\n",
		"1 (x) S 1x 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 17 "
		"0 0 0 0 0 0 0 "
		"0 0 0 0 0 0 0\n",
		"1 (xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx) S 1 1 "
		"1 0 -1 0 0 0 "
		"0 0 0 0 0 0 20 0 1 0 5 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 "
		"0\n",
	};
	struct proc_stat s = { .pid = 77 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!check_int(proc_stat_parse(bad[i], strlen(bad[i]), &s), -EINVAL))
			printf("# %s\n", bad[i]);
	check_int(s.pid, 77);
}

/* ---- limits ---- */

static const char limits_text[] =
	"Limit                     Soft Limit           Hard Limit           Units     \n"
	"Max cpu time              unlimited            unlimited            seconds   \n"
	"Max file size             unlimited            unlimited            bytes     \n"
	"Max data size             unlimited            unlimited            bytes     \n"
	"Max stack size            8388608              unlimited            bytes     \n"
	"Max core file size        0                    unlimited            bytes     \n"
	"Max resident set          unlimited            unlimited            bytes     \n"
	"Max processes             96365                96366                processes \n"
	"Max open files            1024                 20000                files     \n"
	"Max locked memory         8388608              8388608              bytes     \n"
	"Max address space         unlimited            unlimited            bytes     \n"
	"Max file locks            unlimited            unlimited            locks     \n"
	"Max pending signals       96365                96365                signals   \n"
	"Max msgqueue size         819200               819200               bytes     \n"
	"Max nice priority         0                    0                    \n"
	"Max realtime priority     0                    9                    \n"
	"Max realtime timeout      unlimited            18446744073709551614 us        \n";

TEST(limits)
{
	struct proc_limits l;

	check_int(proc_limits_parse(limits_text, LEN(limits_text), &l), 0);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		check(l.v[i].present);
	check(l.v[RLIMIT_CPU].cur == RLIM_INFINITY && l.v[RLIMIT_CPU].max == RLIM_INFINITY);
	check_int(l.v[RLIMIT_STACK].cur, 8388608);
	check(l.v[RLIMIT_STACK].max == RLIM_INFINITY);
	check_int(l.v[RLIMIT_CORE].cur, 0);
	check_int(l.v[RLIMIT_NPROC].max, 96366);
	check_int(l.v[RLIMIT_NOFILE].cur, 1024);
	check_int(l.v[RLIMIT_NOFILE].max, 20000);
	check_int(l.v[RLIMIT_RTPRIO].max, 9);
	check(l.v[RLIMIT_RTTIME].max == UINT64_MAX - 1);
}

TEST(limits_agree_with_the_kernel)
{
	struct buf b = BUF_INIT;
	struct proc_limits l;

	check_int(io_read_file(AT_FDCWD, "/proc/self/limits", &b), 0);
	if (check_int(proc_limits_parse(b.data, b.len, &l), 0))
		for (int i = 0; i < RLIM_NLIMITS; i++) {
			struct rlimit rl;

			check_int(getrlimit(i, &rl), 0);
			check(l.v[i].present && l.v[i].cur == rl.rlim_cur &&
			      l.v[i].max == rl.rlim_max);
		}
	buf_done(&b);
}

TEST(limits_odd)
{
	static const char head[] = "Limit   Soft Limit  Hard Limit  Units\n";
	static const char future[] =
		"Limit   Soft Limit  Hard Limit  Units\nMax of a new kind  1  2  x\n";
	static const char cut[] =
		"Limit   Soft Limit  Hard Limit  Units\nMax open files    1024 \n";
	static const char word[] =
		"Limit   Soft Limit  Hard Limit  Units\nMax open files    many more\n";
	struct proc_limits l;

	check_int(proc_limits_parse(head, LEN(head), &l), 0);
	check(!l.v[0].present);
	check_int(proc_limits_parse(future, LEN(future), &l), 0);
	check_int(proc_limits_parse("", 0, &l), -EINVAL);
	check_int(proc_limits_parse(cut, LEN(cut), &l), -EINVAL);
	check_int(proc_limits_parse(word, LEN(word), &l), -EINVAL);
	EVERY_CUT(limits_text, struct proc_limits, proc_limits_parse, nothing);
}

/* ---- children ---- */

TEST(children)
{
	struct proc_pids p = { 0 };

	check_int(proc_children_parse("", 0, &p), 0);
	check_int(p.n, 0);
	check_int(proc_children_parse("12 345 6789 ", 12, &p), 0);
	check_int(p.n, 3);
	check_int(p.v[0], 12);
	check_int(p.v[2], 6789);
	vec_free(&p);
	check_int(proc_children_parse("12 345\n", 7, &p), 0);
	check_int(p.n, 2);
	vec_free(&p);
	check_int(proc_children_parse("12 x", 4, &p), -EINVAL);
	check_int(proc_children_parse("12 99999999999 ", 15, &p), -EINVAL);
	check_int(proc_children_parse("12\n13\n", 6, &p), -EINVAL);
	check_int(p.n, 0);
}

/* ---- timers ---- */

static const char timers_text[] = "ID: 1\n"
				  "signal: 60/00007fff86e452a8\n"
				  "notify: signal/tid.2634\n"
				  "ClockID: 0\n"
				  "ID: 0\n"
				  "signal: 60/(null)\n"
				  "notify: none/pid.2634\n"
				  "ClockID: 1\n";

TEST(timers)
{
	/* "%px" prints a null value as zeros; "(null)" was never printed, so it is malformed. */
	static const char good[] =
		"ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/tid.2634\nClockID: 0\n"
		"ID: 2147483647\nsignal: 0/0000000000000000\nnotify: none/pid.2634\n"
		"ClockID: -6\n"
		"ID: 5\nsignal: 14/ffffffffffffffff\nnotify: thread/pid.1\nClockID: 11\n"
		"Overrun: 3\n";
	struct proc_timers t = { 0 };

	check_int(proc_timers_parse(timers_text, LEN(timers_text), &t), -EINVAL);
	if (!check_int(proc_timers_parse(good, LEN(good), &t), 0) || !check_int(t.n, 3))
		return;
	check_int(t.v[0].id, 1);
	check_int(t.v[0].signo, 60);
	check_int(t.v[0].sigev_value, 0x7fff86e452a8);
	check_int(t.v[0].notify, SIGEV_SIGNAL);
	check(t.v[0].thread_id);
	check_int(t.v[0].target, 2634);
	check_int(t.v[0].clock_id, 0);
	check_int(t.v[1].id, INT32_MAX);
	check_int(t.v[1].notify, SIGEV_NONE);
	check(!t.v[1].thread_id);
	check_int(t.v[1].clock_id, -6);
	check_int(t.v[2].notify, SIGEV_THREAD);
	check(t.v[2].sigev_value == UINT64_MAX);
	vec_free(&t);
	EVERY_CUT(good, struct proc_timers, proc_timers_parse, vec_free);
}

TEST(timers_agree_with_the_kernel)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct proc_timers t = { 0 };
	struct buf b = BUF_INIT;
	timer_t id;

	ev.sigev_value.sival_int = 4711;
	if (access("/proc/self/timers", R_OK) < 0)
		skip("this kernel has no /proc/PID/timers");
	check_int(timer_create(CLOCK_MONOTONIC, &ev, &id), 0);
	check_int(io_read_file(AT_FDCWD, "/proc/self/timers", &b), 0);
	if (check_int(proc_timers_parse(b.data, b.len, &t), 0) && check_int(t.n, 1)) {
		check_int(t.v[0].signo, SIGUSR2);
		check_int(t.v[0].target, getpid());
		check_int(t.v[0].clock_id, CLOCK_MONOTONIC);
		check_int((int)t.v[0].sigev_value, 4711);
	}
	timer_delete(id);
	vec_free(&t);
	buf_done(&b);
}

TEST(timers_odd)
{
	static const char *const bad[] = {
		"signal: 1/0\n",
		"ID: 1\n",
		"ID: 1\nsignal: 1/0\nnotify: signal/pid.1\n",
		"ID: 1\nID: 2\n",
		"ID: one\nsignal: 1/0\nnotify: signal/pid.1\nClockID: 0\n",
		"ID: 1\nsignal: 1\nnotify: signal/pid.1\nClockID: 0\n",
		"ID: 1\nsignal: 1/0\nnotify: mail/pid.1\nClockID: 0\n",
		"ID: 1\nsignal: 1/0\nnotify: signal/cid.1\nClockID: 0\n",
		"ID: 1\nsignal: 1/0\nnotify: signal/pid.1x\nClockID: 0\n",
	};
	struct proc_timers t = { 0 };

	check_int(proc_timers_parse("", 0, &t), 0);
	check_int(t.n, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!check_int(proc_timers_parse(bad[i], strlen(bad[i]), &t), -EINVAL))
			printf("# case %zu\n", i);
}

/* ---- cgroup ---- */

static const char cgroup_text[] = "12:cpu,cpuacct:/a:b/c\n"
				  "9:name=systemd:/user.slice\n"
				  "8:pids:/\n"
				  "0::/machine.slice/libpod-1.scope (deleted)\n";

TEST(cgroups)
{
	cleanup_proc_cgroups struct proc_cgroups c = { 0 };

	if (!check_int(proc_cgroups_parse(cgroup_text, LEN(cgroup_text), &c), 0) ||
	    !check_int(c.n, 4))
		return;
	check_int(c.v[0].id, 12);
	check_str(c.v[0].controllers, "cpu,cpuacct");
	check_str(c.v[0].path, "/a:b/c");
	check_str(c.v[1].controllers, "name=systemd");
	check_str(c.v[2].path, "/");
	check_int(c.v[3].id, 0);
	check_str(c.v[3].controllers, "");
	check_str(c.v[3].path, "/machine.slice/libpod-1.scope (deleted)");
}

TEST(cgroups_odd)
{
	static const char *const bad[] = { "\n",       "1",
					   "1:",       "1:cpu",
					   "1:cpu:",   "1:cpu:x",
					   "x:cpu:/",  "-1:cpu:/",
					   "1 :cpu:/", "4294967296:cpu:/" };
	struct proc_cgroups c = { 0 };

	check_int(proc_cgroups_parse("", 0, &c), 0);
	check_int(c.n, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!check_int(proc_cgroups_parse(bad[i], strlen(bad[i]), &c), -EINVAL))
			printf("# case %zu\n", i);
	check_int(proc_cgroups_parse("1:cpu:/a\0b\n", 11, &c), -EINVAL);
	EVERY_CUT(cgroup_text, struct proc_cgroups, proc_cgroups_parse, proc_cgroups_done);
}

/* ---- locks ---- */

TEST(locks)
{
	static const char text[] = "1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF\n"
				   "1: -> POSIX  ADVISORY  READ  3569 fd:00:2531452 0 EOF\n"
				   "1:  -> POSIX  ADVISORY  READ  3570 fd:00:2531452 0 EOF\n"
				   "2: FLOCK  ADVISORY  WRITE 3517 08:01:2531448 0 EOF\n"
				   "3: OFDLCK ADVISORY  READ -1 fe:10:10978478 200 299\n"
				   "4: LEASE  BREAKING  READ 1 fe:00:7 0 EOF\n"
				   "5: DELEG  ACTIVE    READ 1 fe:00:7 0 EOF\n"
				   "6: POSIX  MANDATORY WRITE 12 <none>:0 5 9223372036854775806\n"
				   "7: UNKNOWN UNKNOWN  READ 1 fe:00:7 0 EOF\n";
	struct proc_cursor c = proc_cursor(text, LEN(text));
	struct proc_lock l[9];

	for (int i = 0; i < 9; i++)
		if (!check_int(proc_locks_next(&c, &l[i]), 1))
			return;
	check_int(proc_locks_next(&c, &l[0]), 0);
	check_int(l[0].id, 1);
	check_int(l[0].kind, PROC_LOCK_POSIX);
	check_int(l[0].type, F_WRLCK);
	check_int(l[0].pid, 3568);
	check_int(l[0].dev_major, 0xfd);
	check_int(l[0].ino, 2531452);
	check_int(l[0].start, 0);
	check_int(l[0].end, INT64_MAX);
	check(!l[0].blocked && l[1].blocked && l[2].blocked);
	check_int(l[1].type, F_RDLCK);
	check_int(l[2].pid, 3570);
	check_int(l[3].kind, PROC_LOCK_FLOCK);
	check_int(l[3].dev_minor, 1);
	check_int(l[4].kind, PROC_LOCK_OFD);
	check_int(l[4].pid, -1);
	check_int(l[4].dev_minor, 0x10);
	check_int(l[4].start, 200);
	check_int(l[4].end, 299);
	check_int(l[5].kind, PROC_LOCK_LEASE);
	check(l[5].breaking && !l[6].breaking);
	check_int(l[6].kind, PROC_LOCK_DELEG);
	check(l[7].mandatory && !l[0].mandatory);
	check_int(l[7].ino, 0);
	check_int(l[7].end, INT64_MAX - 1);
	check_int(l[8].kind, PROC_LOCK_OTHER);
}

TEST(locks_odd)
{
	static const char *const bad[] = {
		"\n",
		"1\n",
		"1:\n",
		"1: POSIX  ADVISORY\n",
		"1: POSIX  ADVISORY  LICK 3568 fd:00:2531452 0 EOF\n",
		"1: POSIX  ADVISORY  WRITE x fd:00:2531452 0 EOF\n",
		"1: POSIX  ADVISORY  WRITE 1 fd:2531452 0 EOF\n",
		"1: POSIX  ADVISORY  WRITE 1 fd:00:2531452 0\n",
		"1: POSIX  ADVISORY  WRITE 1 fd:00:2531452 0 EOF more\n",
		"1: POSIX  ADVISORY  WRITE 1 fd:00:2531452 0 9223372036854775808\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_cursor c = proc_cursor(bad[i], strlen(bad[i]));
		struct proc_lock l;

		if (!check_int(proc_locks_next(&c, &l), -EINVAL))
			printf("# case %zu\n", i);
	}
}

TEST(own_stat)
{
	struct buf b = BUF_INIT;
	struct proc_stat s;

	check_int(io_read_file(AT_FDCWD, "/proc/self/stat", &b), 0);
	check_int(proc_stat_parse(b.data, b.len, &s), 0);
	check_int(s.pid, getpid());
	check_int(s.ppid, getppid());
	check_int(s.pgrp, getpgrp());
	check_int(s.session, getsid(0));
	check_int(s.num_threads, 1);
	buf_done(&b);
}

TEST_MAIN()
