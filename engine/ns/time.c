// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Time namespaces and the clocks CLOCK_MONOTONIC and CLOCK_BOOTTIME. Both count from a boot, so on
 * another boot they would jump, also backwards, which programs do not expect. Therefore every dump
 * has the two readings, and every restore makes a time namespace in which the clocks go on from
 * them. A tree that has no time namespace of its own has its readings under the id 0.
 */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "proto/namespaces.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { NSEC_PER_SEC = 1000000000 };

/* The two clocks of the kernel's timens_offsets, by their numbers there. */
enum { MONOTONIC, BOOTTIME, CLOCKS };

static const struct {
	clockid_t id;
	const char *name;
} clocks[CLOCKS] = {
	[MONOTONIC] = { CLOCK_MONOTONIC, "monotonic" },
	[BOOTTIME] = { CLOCK_BOOTTIME, "boottime" },
};

struct ns_time {
	struct timespec reading[CLOCKS];
};

static int64_t to_ns(int64_t sec, int64_t nsec)
{
	return sec * NSEC_PER_SEC + nsec;
}

/*
 * The offsets of a namespace: lines of clock, seconds, nanoseconds. "self" shows the ones of the
 * namespace for children, which is the task's own as long as nothing was unshared.
 */
static int read_offsets(pid_t pid, int64_t ret_ns[CLOCKS], struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	int r, pos = 0;

	ret_ns[MONOTONIC] = ret_ns[BOOTTIME] = 0;
	snprintf(path, sizeof(path), "/proc/%d/timens_offsets", pid);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r == -ENOENT)
		return 0; /* a kernel without time namespaces: all offsets are zero */
	if (r < 0)
		return err_sys(err, r, "reading '%s'", path);
	for (char *p = b.data; *p; p += pos) {
		char name[16];
		int64_t sec, nsec;

		if (sscanf(p, "%15s %" SCNd64 " %" SCNd64 " %n", name, &sec, &nsec, &pos) != 3)
			return err_new(err, ERR_ENVIRONMENT, -EPROTO, "'%s' is not readable", path);
		/* Names since 5.6 of the release, numbers in pre-releases; both may stay. */
		if (name[0] == 'm' || name[0] == '1')
			ret_ns[MONOTONIC] = to_ns(sec, nsec);
		else if (name[0] == 'b' || name[0] == '7')
			ret_ns[BOOTTIME] = to_ns(sec, nsec);
	}
	return 0;
}

/* What the clocks of this process show, without the offsets of its namespace. */
static int read_raw(int64_t ret_ns[CLOCKS], struct err *err)
{
	int64_t own[CLOCKS];
	int r = read_offsets(getpid(), own, err);

	for (int i = 0; i < CLOCKS && r == 0; i++) {
		struct timespec ts;

		if (clock_gettime(clocks[i].id, &ts) < 0)
			return err_sys(err, -errno, "reading the %s clock", clocks[i].name);
		ret_ns[i] = to_ns(ts.tv_sec, ts.tv_nsec) - own[i];
	}
	return r;
}

static int write_readings(struct dump *d, const int64_t ns[CLOCKS], uint32_t id, struct err *err)
{
	Timespec mono = TIMESPEC__INIT, boot = TIMESPEC__INIT;
	TimensEntry e = TIMENS_ENTRY__INIT;
	struct image *img = image_get(d->images, IMG_TIMENS, "timens-%u.img", id);

	mono.tv_sec = (uint64_t)(ns[MONOTONIC] / NSEC_PER_SEC);
	mono.tv_nsec = (uint64_t)(ns[MONOTONIC] % NSEC_PER_SEC);
	boot.tv_sec = (uint64_t)(ns[BOOTTIME] / NSEC_PER_SEC);
	boot.tv_nsec = (uint64_t)(ns[BOOTTIME] % NSEC_PER_SEC);
	e.monotonic = &mono;
	e.boottime = &boot;
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	return 0;
}

/* The tree's clocks are this process's, but for the offsets; so nobody has to go and look. */
static int dump_as(struct dump *d, uint32_t id, struct err *err)
{
	int64_t raw[CLOCKS], theirs[CLOCKS];
	int r = read_raw(raw, err);

	if (r == 0)
		r = read_offsets(dump_root_tid(d), theirs, err);
	for (int i = 0; i < CLOCKS && r == 0; i++)
		raw[i] += theirs[i];
	return r == 0 ? write_readings(d, raw, id, err) : r;
}

static int time_dump(struct dump *d, struct err *err)
{
	return dump_as(d, d->root_ns.id[NS_TIME], err);
}

static int time_dump_shared(struct dump *d, struct err *err)
{
	return dump_as(d, 0, err);
}

static int keep_reading(const Timespec *ts, struct timespec *ret)
{
	/* The kernel's limit for a clock in a time namespace: KTIME_SEC_MAX / 2. */
	if (ts->tv_sec > INT64_MAX / NSEC_PER_SEC / 2 || ts->tv_nsec >= NSEC_PER_SEC)
		return -ERANGE;
	ret->tv_sec = (time_t)ts->tv_sec;
	ret->tv_nsec = (long)ts->tv_nsec;
	return 0;
}

static int load_entry(struct restore *r, const TimensEntry *e, struct err *err)
{
	struct ns_time *t = arena_alloc(&r->arena, sizeof(*t));

	if (!t)
		return err_nomem(err);
	if (keep_reading(e->monotonic, &t->reading[MONOTONIC]) < 0 ||
	    keep_reading(e->boottime, &t->reading[BOOTTIME]) < 0)
		return err_image(err, "the image has a clock reading that no clock can show");
	r->ns->time = t;
	r->new_ns |= CLONE_NEWTIME;
	return 0;
}

static int time_load(struct restore *r, struct err *err)
{
	TimensEntry *e = NULL;
	int q = restore_read_one(r, IMG_TIMENS, &timens_entry__descriptor, &e, err, "timens-%u.img",
				 r->root_ns.id[NS_TIME]);

	return q == 0 ? load_entry(r, e, err) : q;
}

static int time_load_shared(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	cleanup_msg TimensEntry *e = NULL;
	int q;

	/* Without rights no time namespace can be made, and the clocks jump, as they do for CRIU.
	 */
	if (r->opts->unprivileged || access("/proc/self/ns/time", F_OK) < 0) {
		log_warn(r->log, "the clocks of the restored tree will not go on from the dump, "
				 "ignoring");
		return 0;
	}
	q = image_open(r->images_fd, IMG_TIMENS, &reader, err, "timens-0.img");
	if (q == IMAGE_ABSENT)
		return 0;
	if (q == 0)
		q = image_next(reader, &timens_entry__descriptor, &e, err);
	return q == 1 ? load_entry(r, e, err) : q;
}

static int write_offsets(const struct ns_time *t, const int64_t raw[CLOCKS], struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = 0;

	for (int i = 0; i < CLOCKS; i++) {
		int64_t off = to_ns(t->reading[i].tv_sec, t->reading[i].tv_nsec) - raw[i];
		int64_t sec = off / NSEC_PER_SEC, nsec = off % NSEC_PER_SEC;

		if (nsec < 0) { /* the kernel takes no negative nanoseconds */
			nsec += NSEC_PER_SEC;
			sec--;
		}
		if (buf_printf(&b, "%d %" PRId64 " %" PRId64 "\n", clocks[i].id, sec, nsec) < 0)
			return err_nomem(err);
	}
	r = io_write_file(AT_FDCWD, "/proc/self/timens_offsets", b.data, b.len);
	if (r == -ERANGE)
		return err_image(err, "the dumped clocks cannot be set on this machine: %.*s",
				 (int)b.len - 1, b.data);
	return r < 0 ? err_sys(err, r, "writing the offsets of the time namespace") : 0;
}

/*
 * unshare(2) makes a namespace for the children only, and its offsets can be written until the
 * first task enters it. setns(2) then takes the builder itself in, with its vDSO data; for that it
 * must have a single thread.
 */
static int time_build(struct restore *r, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	int64_t raw[CLOCKS];
	int q = read_raw(raw, err);

	if (q < 0)
		return q;
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(err, -errno, "making a time namespace");
	q = write_offsets(r->ns->time, raw, err);
	if (q < 0)
		return q;
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening the new time namespace");
	if (setns(fd, CLONE_NEWTIME) < 0)
		return err_sys(err, -errno, "entering the new time namespace");
	return 0;
}

const struct ns_kind ns_kind_time = {
	.type = NS_TIME,
	.dump = time_dump,
	.dump_shared = time_dump_shared,
	.load = time_load,
	.load_shared = time_load_shared,
	.build = time_build,
};
