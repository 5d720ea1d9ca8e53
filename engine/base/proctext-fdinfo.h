/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsers of /proc/PID/fdinfo/N; the rules of proctext.h hold here too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/proctext.h"

/* What every descriptor shows. The text that was parsed must outlive the struct. */
struct proc_fdinfo {
	int64_t pos;
	uint32_t flags; /* O_*, O_CLOEXEC included */
	int mnt_id;
	uint64_t ino; /* valid if has_ino (since 5.14) */
	bool has_ino;
	struct proc_cursor rest; /* the lines behind, borrowed */
};

int proc_fdinfo_parse(const char *text, size_t len, struct proc_fdinfo *ret);

/* A "key: value" line, borrowed from the text; blanks around both are cut off. */
struct proc_line {
	const char *key, *val;
	size_t key_len, val_len;
};

/* The next line that has a colon. 1: got one, 0: end of text. Start with c = fdinfo.rest. */
int proc_line_next(struct proc_cursor *c, struct proc_line *ret);

/* Whether the line has that key. */
bool proc_line_is(const struct proc_line *line, const char *key);

/* The first line with that key: 1: found, 0: there is none. */
int proc_fdinfo_find(const struct proc_fdinfo *fi, const char *key, struct proc_line *ret);

/* A decimal number behind a key, for small lines such as "scm_fds" or "tty-index". -ENOENT if
 * absent. */
int proc_fdinfo_int(const struct proc_fdinfo *fi, const char *key, int64_t *ret);

/*
 * For a descriptor that is of a kind as a whole: -ENOENT if the text has no line of that kind.
 */

struct proc_eventfd {
	uint64_t count;
	int semaphore; /* -1: not shown (before 6.5) */
};

int proc_fdinfo_eventfd(const struct proc_fdinfo *fi, struct proc_eventfd *ret);

/* The signal set, signal 1 in bit 0. */
int proc_fdinfo_signalfd(const struct proc_fdinfo *fi, uint64_t *ret_mask);

struct proc_timerfd {
	int clock_id;
	uint64_t ticks;
	int settime_flags;	   /* TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET */
	int64_t value_s, value_ns; /* time left, also for absolute timers */
	int64_t interval_s, interval_ns;
};

int proc_fdinfo_timerfd(const struct proc_fdinfo *fi, struct proc_timerfd *ret);

struct proc_pidfd {
	pid_t pid; /* 0: in no pid namespace that procfs sees; -1: the task is gone */
	struct proc_nsid nspid;
};

int proc_fdinfo_pidfd(const struct proc_fdinfo *fi, struct proc_pidfd *ret);

/*
 * Lists: each call gives the next line of its kind and skips the others. 1: got one, 0: end of
 * text, -EINVAL. Start with c = fdinfo.rest.
 */

struct proc_epoll {
	int tfd; /* the number at the time of EPOLL_CTL_ADD; may be closed or another file now */
	uint32_t events; /* EPOLL* */
	uint64_t data;
	bool has_file; /* since 4.13 the target is named: */
	int64_t pos;
	uint64_t ino;
	uint32_t sdev; /* kernel encoding: major << 20 | minor */
};

int proc_fdinfo_next_epoll(struct proc_cursor *c, struct proc_epoll *ret);

/* What open_by_handle_at(2) takes; n is 0 if the file system has no handles. */
struct proc_fhandle {
	int32_t type;
	uint32_t n;
	uint8_t bytes[128]; /* MAX_HANDLE_SZ */
};

struct proc_inotify {
	int wd;
	uint64_t ino;
	uint32_t sdev; /* kernel encoding */
	uint32_t mask;
	struct proc_fhandle handle;
};

int proc_fdinfo_next_inotify(struct proc_cursor *c, struct proc_inotify *ret);

enum proc_fanotify_kind {
	PROC_FANOTIFY_GROUP, /* flags and event_flags of the descriptor, the first line */
	PROC_FANOTIFY_INODE, /* ino, sdev, handle */
	PROC_FANOTIFY_MOUNT, /* mnt_id */
	PROC_FANOTIFY_SB,    /* sdev */
	PROC_FANOTIFY_OTHER,
};

struct proc_fanotify {
	enum proc_fanotify_kind kind;
	uint32_t flags, event_flags;
	uint32_t mnt_id;
	uint64_t ino;
	uint32_t sdev; /* kernel encoding */
	uint32_t mflags, mask, ignored_mask;
	struct proc_fhandle handle;
};

int proc_fdinfo_next_fanotify(struct proc_cursor *c, struct proc_fanotify *ret);

int proc_fdinfo_next_lock(struct proc_cursor *c, struct proc_lock *ret);
