/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marks of fanotify, and watches on files that were deleted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- fanotify: the same marks, and events that come ---- */

static struct {
	int group, file;
	char marks[2048];
} fan;

/* The lines of the marks; numbers of mounts are left out. */
static int read_marks(char *ret, size_t size)
{
	char path[64], line[512];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fan.group);
	f = fopen(path, "re");
	if (!f)
		return fail_errno("%s", path);
	ret[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		char *mount = strstr(line, "mnt_id:");

		if (strncmp(line, "fanotify", 8))
			continue;
		if (mount)
			memset(mount, '-', strcspn(mount, " "));
		n += (size_t)snprintf(ret + n, size - n, "%s", line);
		if (n >= size)
			break;
	}
	fclose(f);
	return n < size ? WL_OK : fail("too many marks");
}

static int fan_event(uint64_t want)
{
	struct fanotify_event_metadata m;
	ssize_t n;

	do {
		n = read(fan.group, &m, sizeof(m));
		if (n > 0 && m.fd >= 0)
			close(m.fd);
	} while (n > 0 && !(m.mask & want));
	return n > 0 ? WL_OK : fail("there is no event %lx", (unsigned long)want);
}

static int fan_setup(void)
{
	/* a mount that nobody executes anything from: what others do must not wait in the queue */
	const char *name = path_in("marked"), *quiet = "/dev";
	unsigned int ignore = FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;

	fan.group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_UNLIMITED_MARKS, O_RDONLY);
	if (fan.group < 0)
		return skip("fanotify: %s", strerrordesc_np(errno));
	fan.file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fan.file < 0 ||
	    fanotify_mark(fan.group, FAN_MARK_ADD, FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD, name) ||
	    fanotify_mark(fan.group, FAN_MARK_ADD | ignore, FAN_ACCESS, AT_FDCWD, name) ||
	    fanotify_mark(fan.group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_EXEC, AT_FDCWD, quiet))
		return fail_errno("marking '%s' and '%s'", name, quiet);
	if (strict() && fanotify_mark(fan.group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC,
				      AT_FDCWD, quiet))
		return fail_errno("marking the file system of '%s'", quiet);
	return read_marks(fan.marks, sizeof(fan.marks));
}

static int fan_verify(void)
{
	char now[sizeof(fan.marks)];

	if (read_marks(now, sizeof(now)) != WL_OK)
		return WL_FAIL;
	if (strcmp(now, fan.marks))
		return fail("the marks were\n%sand are\n%s", fan.marks, now);
	if (write(fan.file, "x", 1) != 1)
		return fail_errno("writing");
	return fan_event(FAN_MODIFY);
}

/* ---- watch-deleted: a watch on a file that has no name any more ---- */

static struct {
	int queue, wd, file;
} deleted;

static int deleted_setup(void)
{
	const char *name = path_in("watched");
	char events[4096];

	deleted.queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	deleted.file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (deleted.queue < 0 || deleted.file < 0)
		return fail_errno("'%s'", name);
	/* the second number */
	if (inotify_add_watch(deleted.queue, path_in("."), IN_DELETE_SELF) < 0)
		return fail_errno("watching");
	deleted.wd = inotify_add_watch(deleted.queue, name, IN_MODIFY | IN_DELETE_SELF);
	if (deleted.wd < 0 || unlink(name) < 0)
		return fail_errno("watching '%s'", name);
	while (read(deleted.queue, events, sizeof(events)) > 0)
		;
	return WL_OK;
}

static int deleted_verify(void)
{
	struct inotify_event e;

	if (read(deleted.queue, &e, sizeof(e)) > 0)
		return fail("event %x that nobody has caused", e.mask);
	if (write(deleted.file, "x", 1) != 1)
		return fail_errno("writing");
	if (read(deleted.queue, &e, sizeof(e)) != sizeof(e))
		return fail_errno("the event of a file that was deleted");
	if (e.wd != deleted.wd || e.mask != IN_MODIFY)
		return fail("event %x of watch %d", e.mask, e.wd);
	return WL_OK;
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload watch_workloads[] = {
	{ "fanotify", "marks on a file, a mount and a file system", strict_params, fan_setup,
	  fan_verify },
	{ "watch-deleted", "inotify on a file that was deleted", NULL, deleted_setup,
	  deleted_verify },
	{ 0 },
};
