/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/proctext-fdinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "tests/lib/test.h"

#define HEAD "pos:\t0\nflags:\t02\nmnt_id:\t17\nino:\t1039\n"

static struct proc_fdinfo parse(const char *text)
{
	struct proc_fdinfo fi = { .rest = proc_cursor(NULL, 0) };

	check_int(proc_fdinfo_parse(text, strlen(text), &fi), 0);
	return fi;
}

/* The fdinfo of one of our own descriptors; b keeps the text. */
static struct proc_fdinfo own(int fd, struct buf *b)
{
	struct proc_fdinfo fi = { .rest = proc_cursor(NULL, 0) };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	check_int(io_read_file(AT_FDCWD, path, b), 0);
	check_int(proc_fdinfo_parse(b->data, b->len, &fi), 0);
	return fi;
}

TEST(common_fields)
{
	struct proc_fdinfo fi =
		parse("pos:\t12345678901\nflags:\t02102002\nmnt_id:\t27\nino:\t10978478\n");

	check_int(fi.pos, 12345678901);
	check_int(fi.flags, 02102002);
	check_int(fi.mnt_id, 27);
	check(fi.has_ino);
	check_int(fi.ino, 10978478);
	check(fi.rest.p == fi.rest.end);
}

TEST(before_5_14_there_is_no_ino)
{
	struct proc_fdinfo fi = parse("pos:\t-1\nflags:\t0100000\nmnt_id:\t9\nscm_fds: 2\n");
	int64_t v;

	check_int(fi.pos, -1);
	check(!fi.has_ino);
	check_int(proc_fdinfo_int(&fi, "scm_fds", &v), 0);
	check_int(v, 2);
	check_int(proc_fdinfo_int(&fi, "tty-index", &v), -ENOENT);
}

TEST(unknown_lines_are_skipped)
{
	struct proc_fdinfo fi =
		parse("pos:\t0\nnew: 1\nflags:\t02\nno colon\nmnt_id:\t17\nino:\t3\nx: y\nz\n");
	struct proc_line line;

	check_int(fi.ino, 3);
	check_int(proc_line_next(&fi.rest, &line), 1);
	check(proc_line_is(&line, "x"));
	check(!proc_line_is(&line, "xx"));
	check_int(line.val_len, 1);
	check_int(proc_line_next(&fi.rest, &line), 0);
}

TEST(common_odd)
{
	static const char *const bad[] = {
		"",
		"pos:\t0\n",
		"pos:\t0\nflags:\t02\n",
		"pos:\tx\nflags:\t02\nmnt_id:\t17\n",
		"pos:\t0\nflags:\t08\nmnt_id:\t17\n",
		"pos:\t0\nflags:\t0777777777777777\nmnt_id:\t17\n",
		"pos:\t0\nflags:\t02\nmnt_id:\t17x\n",
		"pos:\t0\nflags:\t02\nmnt_id:\t17\nino:\t-1\n",
		"pos:\t\nflags:\t02\nmnt_id:\t17\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_fdinfo fi = { .mnt_id = 77 };

		if (!check_int(proc_fdinfo_parse(bad[i], strlen(bad[i]), &fi), -EINVAL))
			printf("# case %zu\n", i);
		check_int(fi.mnt_id, 77);
	}
}

TEST(eventfd_counts_are_hexadecimal)
{
	struct proc_fdinfo fi = parse(HEAD "eventfd-count:               5a\neventfd-id: 1\n"
					   "eventfd-semaphore: 1\n");
	struct proc_eventfd e;

	check_int(proc_fdinfo_eventfd(&fi, &e), 0);
	check_int(e.count, 90);
	check_int(e.semaphore, 1);
	fi = parse(HEAD "eventfd-count: fffffffffffffffe\n");
	check_int(proc_fdinfo_eventfd(&fi, &e), 0);
	check(e.count == UINT64_MAX - 1);
	check_int(e.semaphore, -1);
	fi = parse(HEAD);
	check_int(proc_fdinfo_eventfd(&fi, &e), -ENOENT);
	fi = parse(HEAD "eventfd-count: zero\n");
	check_int(proc_fdinfo_eventfd(&fi, &e), -EINVAL);
	fi = parse(HEAD "eventfd-count: 1\neventfd-semaphore: x\n");
	check_int(proc_fdinfo_eventfd(&fi, &e), -EINVAL);
}

TEST(own_eventfd)
{
	cleanup_fd int fd = eventfd(4000000000u, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo fi = own(fd, &b);
	struct proc_eventfd e;

	check_int(proc_fdinfo_eventfd(&fi, &e), 0);
	check_int(e.count, 4000000000);
	check(e.semaphore);
	check_int(fi.flags, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

TEST(epoll_targets)
{
	struct proc_fdinfo fi = parse(
		HEAD
		"tfd:        5 events:       19 data:     7f0000000005  pos:0 ino:10ae0 sdev:9\n"
		"some: line\n"
		"tfd:        3 events: 80000019 data: ffffffffffffffff  pos:-7 ino:40f "
		"sdev:fe00010\n"
		"tfd:        9 events:        1 data:                9\n");
	struct proc_cursor c = fi.rest;
	struct proc_epoll e;

	check_int(proc_fdinfo_next_epoll(&c, &e), 1);
	check_int(e.tfd, 5);
	check_int(e.events, 0x19);
	check_int(e.data, 0x7f0000000005);
	check(e.has_file);
	check_int(e.ino, 0x10ae0);
	check_int(e.sdev, 9);
	check_int(proc_fdinfo_next_epoll(&c, &e), 1);
	check_int(e.events, 0x80000019);
	check(e.data == UINT64_MAX);
	check_int(e.pos, -7);
	check_int(e.sdev, 0xfe00010);
	check_int(proc_fdinfo_next_epoll(&c, &e), 1);
	check(!e.has_file);
	check_int(proc_fdinfo_next_epoll(&c, &e), 0);
}

TEST(epoll_odd)
{
	static const char *const bad[] = {
		"tfd:\n",
		"tfd: 5\n",
		"tfd: 5 events: 19\n",
		"tfd: 5 events: 19 data:\n",
		"tfd: 5 events: xx data: 1\n",
		"tfd: 5 events: 100000000 data: 1\n",
		"tfd: 5 events: 19 data: 1 pos:0\n",
		"tfd: 5 events: 19 data: 1 pos:0 ino:1\n",
		"tfd: 5 events: 19 data: 1 pos:0 ino:zz sdev:1\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_cursor c = proc_cursor(bad[i], strlen(bad[i]));
		struct proc_epoll e;

		if (!check_int(proc_fdinfo_next_epoll(&c, &e), -EINVAL))
			printf("# case %zu\n", i);
	}
}

TEST(own_epoll)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789abcdef0 };
	cleanup_fd int ep = epoll_create1(EPOLL_CLOEXEC), target = eventfd(0, EFD_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo fi;
	struct proc_epoll e;

	check_int(epoll_ctl(ep, EPOLL_CTL_ADD, target, &ev), 0);
	fi = own(ep, &b);
	check_int(proc_fdinfo_next_epoll(&fi.rest, &e), 1);
	check_int(e.tfd, target);
	check_int(e.events & ~(uint32_t)(EPOLLERR | EPOLLHUP), EPOLLIN | EPOLLET);
	check_int(e.data, 0x123456789abcdef0);
	check_int(proc_fdinfo_next_epoll(&fi.rest, &e), 0);
}

TEST(signalfd_mask)
{
	struct proc_fdinfo fi = parse(HEAD "sigmask:\t8000000000000200\n");
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_fd int fd = -EBADF;
	uint64_t mask;
	sigset_t set;

	check_int(proc_fdinfo_signalfd(&fi, &mask), 0);
	check(mask == 0x8000000000000200);
	fi = parse(HEAD);
	check_int(proc_fdinfo_signalfd(&fi, &mask), -ENOENT);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	fi = own(fd, &b);
	check_int(proc_fdinfo_signalfd(&fi, &mask), 0);
	check_int(mask, 1 << (SIGUSR1 - 1) | 1 << (SIGCHLD - 1));
}

TEST(timerfd_fields)
{
	struct proc_fdinfo fi = parse(HEAD "clockid: 7\nticks: 3\nsettime flags: 03\n"
					   "it_value: (99, 998354704)\nit_interval: (3, 500)\n");
	struct proc_timerfd t;

	check_int(proc_fdinfo_timerfd(&fi, &t), 0);
	check_int(t.clock_id, CLOCK_BOOTTIME);
	check_int(t.ticks, 3);
	check_int(t.settime_flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	check_int(t.value_s, 99);
	check_int(t.value_ns, 998354704);
	check_int(t.interval_s, 3);
	check_int(t.interval_ns, 500);
	fi = parse(HEAD);
	check_int(proc_fdinfo_timerfd(&fi, &t), -ENOENT);
}

TEST(timerfd_odd)
{
	static const char *const bad[] = {
		HEAD "clockid: 7\n",
		HEAD "clockid: 7\nticks: 3\nsettime flags: 03\nit_value: (99, 998354704)\n",
		HEAD
		"clockid: x\nticks: 3\nsettime flags: 03\nit_value: (9, 9)\nit_interval: (3, 5)\n",
		HEAD "clockid: 700\nticks: 3\nsettime flags: 03\nit_value: (9, 9)\nit_interval: "
		     "(3, 5)\n",
		HEAD
		"clockid: 7\nticks: 3\nsettime flags: 09\nit_value: (9, 9)\nit_interval: (3, 5)\n",
		HEAD
		"clockid: 7\nticks: 3\nsettime flags: 03\nit_value: (9, 9\nit_interval: (3, 5)\n",
		HEAD "clockid: 7\nticks: 3\nsettime flags: 03\nit_value: (9, 1000000000)\n"
		     "it_interval: (3, 5)\n",
		HEAD
		"clockid: 7\nticks: 3\nsettime flags: 03\nit_value: (9, -1)\nit_interval: (3, 5)\n",
		HEAD
		"clockid: 7\nticks: 3\nsettime flags: 03\nit_value: 9.5\nit_interval: (3, 5)\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_fdinfo fi = parse(bad[i]);
		struct proc_timerfd t = { .clock_id = 77 };

		if (!check_int(proc_fdinfo_timerfd(&fi, &t), -EINVAL))
			printf("# case %zu\n", i);
		check_int(t.clock_id, 77);
	}
}

TEST(own_timerfd)
{
	struct itimerspec its = { .it_value = { 100, 0 }, .it_interval = { 3, 500 } };
	cleanup_fd int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo fi;
	struct proc_timerfd t;

	check_int(timerfd_settime(fd, 0, &its, NULL), 0);
	fi = own(fd, &b);
	check_int(proc_fdinfo_timerfd(&fi, &t), 0);
	check_int(t.clock_id, CLOCK_MONOTONIC);
	check(t.value_s > 0 && t.value_s <= 100);
	check_int(t.interval_ns, 500);
}

TEST(pidfd)
{
	struct proc_fdinfo fi = parse(HEAD "Pid:\t32533\nNSpid:\t32533\t12\t1\n");
	struct proc_pidfd p;

	check_int(proc_fdinfo_pidfd(&fi, &p), 0);
	check_int(p.pid, 32533);
	check_int(p.nspid.levels, 3);
	check_int(p.nspid.inner, 1);
	fi = parse(HEAD "Pid:\t-1\nNSpid:\t-1\n");
	check_int(proc_fdinfo_pidfd(&fi, &p), 0);
	check_int(p.pid, -1);
	fi = parse(HEAD "Pid:\t0\n");
	check_int(proc_fdinfo_pidfd(&fi, &p), 0);
	check_int(p.pid, 0);
	check_int(p.nspid.levels, 0);
	fi = parse(HEAD);
	check_int(proc_fdinfo_pidfd(&fi, &p), -ENOENT);
	fi = parse(HEAD "Pid:\tx\n");
	check_int(proc_fdinfo_pidfd(&fi, &p), -EINVAL);
	fi = parse(HEAD "Pid:\t5\nNSpid:\t5 x\n");
	check_int(proc_fdinfo_pidfd(&fi, &p), -EINVAL);
}

TEST(inotify_watches)
{
	static const uint8_t handle[] = { 0x1a, 0xc5, 0x03, 0, 0, 0, 0, 0 };
	struct proc_fdinfo fi =
		parse(HEAD "inotify wd:2 ino:1 sdev:15 mask:2 ignored_mask:0 fhandle-bytes:c "
			   "fhandle-type:81 f_handle:010000000000000000000000\n"
			   "inotify wd:a ino:3c51a sdev:fe00000 mask:fff ignored_mask:0 "
			   "fhandle-bytes:8 fhandle-type:1 f_handle:1ac5030000000000\n"
			   "inotify wd:3 ino:5 sdev:15 mask:20000002 ignored_mask:0 \n");
	struct proc_inotify w;

	check_int(proc_fdinfo_next_inotify(&fi.rest, &w), 1);
	check_int(w.wd, 2);
	check_int(w.handle.n, 12);
	check_int(w.handle.type, 0x81);
	check_int(proc_fdinfo_next_inotify(&fi.rest, &w), 1);
	check_int(w.wd, 10);
	check_int(w.ino, 0x3c51a);
	check_int(w.sdev, 0xfe00000);
	check_int(w.mask, 0xfff);
	check_int(w.handle.n, sizeof(handle));
	check_mem(w.handle.bytes, handle, sizeof(handle));
	check_int(proc_fdinfo_next_inotify(&fi.rest, &w), 1);
	check_int(w.handle.n, 0);
	check_int(proc_fdinfo_next_inotify(&fi.rest, &w), 0);
}

TEST(inotify_odd)
{
	static const char *const bad[] = {
		"inotify wd:\n",
		"inotify wd:1 ino:1 sdev:1 mask:1\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:8\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 "
		"f_handle:00\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:1 fhandle-type:1 "
		"f_handle:0g\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:1 fhandle-type:1 "
		"f_handle:000\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:81 fhandle-type:1 "
		"f_handle:00\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_cursor c = proc_cursor(bad[i], strlen(bad[i]));
		struct proc_inotify w;

		if (!check_int(proc_fdinfo_next_inotify(&c, &w), -EINVAL))
			printf("# case %zu\n", i);
	}
}

TEST(own_inotify)
{
	cleanup_fd int fd = inotify_init1(IN_CLOEXEC);
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_inotify w;
	struct proc_fdinfo fi;
	int wd = inotify_add_watch(fd, "/tmp", IN_CREATE | IN_DELETE);

	fi = own(fd, &b);
	check_int(proc_fdinfo_next_inotify(&fi.rest, &w), 1);
	check_int(w.wd, wd);
	check_int(w.mask & (IN_CREATE | IN_DELETE | IN_MODIFY), IN_CREATE | IN_DELETE);
}

TEST(fanotify_marks)
{
	struct proc_fdinfo fi = parse(
		HEAD
		"fanotify flags:10 event-flags:8000\n"
		"fanotify ino:7b5e sdev:800013 mflags:0 mask:3b ignored_mask:1 fhandle-bytes:2 "
		"fhandle-type:1 f_handle:5e7b\n"
		"fanotify mnt_id:12 mflags:40 mask:38 ignored_mask:40000003\n"
		"fanotify sdev:800013 mflags:0 mask:2 ignored_mask:0\n"
		"fanotify mnt_ns:1 mask:2\n");
	struct proc_fanotify f;

	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 1);
	check_int(f.kind, PROC_FANOTIFY_GROUP);
	check_int(f.flags, 0x10);
	check_int(f.event_flags, 0x8000);
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 1);
	check_int(f.kind, PROC_FANOTIFY_INODE);
	check_int(f.ino, 0x7b5e);
	check_int(f.mask, 0x3b);
	check_int(f.ignored_mask, 1);
	check_int(f.handle.n, 2);
	check_int(f.handle.bytes[0], 0x5e);
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 1);
	check_int(f.kind, PROC_FANOTIFY_MOUNT);
	check_int(f.mnt_id, 0x12);
	check_int(f.mflags, 0x40);
	check_int(f.ignored_mask, 0x40000003);
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 1);
	check_int(f.kind, PROC_FANOTIFY_SB);
	check_int(f.sdev, 0x800013);
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 1);
	check_int(f.kind, PROC_FANOTIFY_OTHER);
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), 0);
	fi = parse(HEAD "fanotify flags:x\n");
	check_int(proc_fdinfo_next_fanotify(&fi.rest, &f), -EINVAL);
}

TEST(locks_of_a_descriptor)
{
	struct proc_fdinfo fi =
		parse(HEAD "lock:\t1: FLOCK  ADVISORY  READ 32533 fe:00:10978478 0 EOF\n"
			   "lock:\t2: POSIX  ADVISORY  WRITE 32533 fe:00:10978478 5 104\n");
	struct proc_lock l;

	check_int(proc_fdinfo_next_lock(&fi.rest, &l), 1);
	check_int(l.kind, PROC_LOCK_FLOCK);
	check_int(proc_fdinfo_next_lock(&fi.rest, &l), 1);
	check_int(l.kind, PROC_LOCK_POSIX);
	check_int(l.start, 5);
	check_int(l.end, 104);
	check_int(proc_fdinfo_next_lock(&fi.rest, &l), 0);
	fi = parse(HEAD "lock:\tnonsense\n");
	check_int(proc_fdinfo_next_lock(&fi.rest, &l), -EINVAL);
}

TEST(own_lock)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 100 };
	cleanup_fd int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo fi;
	struct proc_lock l;

	if (fd < 0)
		skip("no O_TMPFILE in /tmp");
	check_int(fcntl(fd, F_SETLK, &fl), 0);
	fi = own(fd, &b);
	check_int(proc_fdinfo_next_lock(&fi.rest, &l), 1);
	check_int(l.kind, PROC_LOCK_POSIX);
	check_int(l.type, F_WRLCK);
	check_int(l.pid, getpid());
	check_int(l.start, 5);
	check_int(l.end, 104);
}

TEST_MAIN()
