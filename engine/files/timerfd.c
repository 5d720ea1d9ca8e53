/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timerfds. The image has the time that was left, also for timers set to a point of time, so that
 * time stands still for a timer while its task does not exist.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[timerfd]") == 0;
}

/* ---- dump ---- */

/*
 * An interval timer that has expired rests until its ticks are read, and then shows 0 as the time
 * left: when it would expire next is lost with that. Asking for the time makes the kernel count the
 * intervals that have passed and start it again; what the task reads later is the same.
 */
static int wake_expired(struct dump *d, struct file_ref *ref, struct proc_timerfd *info,
			struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo again;
	struct itimerspec now;
	char *path;
	int r;

	if (info->value_s || info->value_ns || !(info->interval_s || info->interval_ns) ||
	    !info->ticks)
		return 0;
	if (timerfd_gettime(ref->lfd, &now) < 0)
		return err_sys(err, -errno, "asking for the time of a timerfd");
	path = arena_printf(&d->arena, "fdinfo/%d", ref->fd);
	if (!path)
		return err_nomem(err);
	r = io_read_file(ref->holder_proc_fd, path, &b);
	if (r == 0)
		r = proc_fdinfo_parse(b.data, b.len, &again);
	if (r == 0)
		r = proc_fdinfo_timerfd(&again, info);
	return r < 0 ? err_sys(err, r, "reading fdinfo of a timerfd again") : 0;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	TimerfdEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct proc_timerfd info;
	int r;

	if (!e)
		return err_nomem(err);
	timerfd_entry__init(e);
	fe->tfd = e;
	r = proc_fdinfo_timerfd(&ref->info, &info);
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of a timerfd");
	r = wake_expired(d, ref, &info, err);
	if (r < 0)
		return r;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	e->clockid = (uint32_t)info.clock_id;
	e->ticks = info.ticks;
	e->settime_flags = (uint32_t)info.settime_flags;
	e->vsec = (uint64_t)info.value_s;
	e->vnsec = (uint64_t)info.value_ns;
	e->isec = (uint64_t)info.interval_s;
	e->insec = (uint64_t)info.interval_ns;
	return files_capture_fown(d, ref, &e->fown, err);
}

/* ---- restore ---- */

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const TimerfdEntry *e = obj->entry->tfd;

	if (!e)
		return err_image(err, "a timerfd without a description");
	switch (e->clockid) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		break;
	default:
		return err_image(err, "a timerfd of clock %u", e->clockid);
	}
	if (e->settime_flags & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return err_image(err, "a timerfd with flags 0%o", e->settime_flags);
	if (e->vnsec > 999999999 || e->insec > 999999999 || e->vsec > INT32_MAX * 1000L ||
	    e->isec > INT32_MAX * 1000L)
		return err_image(err, "a timerfd whose times are out of range");
	return files_check_fown(obj, e->fown, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const TimerfdEntry *e = obj->entry->tfd;
	cleanup_fd int fd = timerfd_create((int)e->clockid, TFD_CLOEXEC);

	if (fd < 0)
		return err_sys(err, -errno, "making a timerfd of clock %u", e->clockid);
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

static int add_now(const TimerfdEntry *e, struct timespec *t, struct err *err)
{
	/* the alarm clocks tell the time of the clocks that they are named after */
	clockid_t clock = e->clockid == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
			  : e->clockid == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
							       : (clockid_t)e->clockid;
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		return err_sys(err, -errno, "reading clock %u", e->clockid);
	t->tv_sec += now.tv_sec;
	t->tv_nsec += now.tv_nsec;
	if (t->tv_nsec > 999999999) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
	return 0;
}

/* Late, because the time that is left begins to run with it. */
static int finish(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	const TimerfdEntry *e = obj->entry->tfd;
	struct itimerspec t = { { (time_t)e->isec, (long)e->insec },
				{ (time_t)e->vsec, (long)e->vnsec } };
	bool expired = e->ticks && !e->vsec && !e->vnsec && (e->isec || e->insec);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	/* images of an interval timer that rested: expire once more, and so rest again */
	if (expired)
		t.it_value.tv_nsec = 1;
	if ((t.it_value.tv_sec || t.it_value.tv_nsec) && e->settime_flags & TFD_TIMER_ABSTIME &&
	    add_now(e, &t.it_value, err) < 0)
		return err->code;
	if (timerfd_settime(fd, (int)e->settime_flags, &t, NULL) < 0)
		return err_sys(err, -errno, "setting a timerfd");
	if (expired)
		poll(&p, 1, 1000);
	if (e->ticks && ioctl(fd, TFD_IOC_SET_TICKS, &e->ticks) < 0)
		return err_sys(err, -errno, "setting the ticks of a timerfd");
	return files_finish_owner(r, obj, fd, err);
}

const struct file_kind kind_timerfd = {
	.name = "timerfd",
	.type = FD_TYPES__TIMERFD,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = finish,
};
