/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The freezer of v1 (freezer.state: FREEZING until every task stands, and no event tells) and of v2
 * (cgroup.freeze, with the outcome in cgroup.events, which wakes a poll). Neither file exists in
 * the root of a hierarchy, so that cannot be frozen by any path.
 */
#include "cgroups/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cgroups/cgroups-priv.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"

struct cgroup_freezer {
	int dirfd;
	bool unified;
	bool was_frozen;
	char *path;
};

enum freezer_state { STATE_THAWED, STATE_BUSY, STATE_FROZEN };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What the group itself is asked for: true when frozen on its own account, not an ancestor's. */
static int read_wanted(const struct cgroup_freezer *f, bool *ret)
{
	int64_t v;
	int r = io_read_int(f->dirfd, f->unified ? "cgroup.freeze" : "freezer.self_freezing", &v);

	if (r < 0)
		return r;
	*ret = v != 0;
	return 0;
}

/* What it is. */
static int read_state(const struct cgroup_freezer *f, enum freezer_state *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	bool wanted;
	int r = io_read_file(f->dirfd, f->unified ? "cgroup.events" : "freezer.state", &text);

	if (r >= 0)
		r = read_wanted(f, &wanted);
	if (r < 0)
		return r;
	if (!f->unified)
		*ret = !strncmp(text.data, "FROZEN", 6)	  ? STATE_FROZEN
		       : !strncmp(text.data, "THAWED", 6) ? STATE_THAWED
							  : STATE_BUSY;
	else if (strstr(text.data, "frozen 1"))
		*ret = STATE_FROZEN;
	else
		*ret = wanted ? STATE_BUSY : STATE_THAWED;
	return 0;
}

static int write_state(const struct cgroup_freezer *f, bool freeze)
{
	if (f->unified)
		return io_write_file(f->dirfd, "cgroup.freeze", freeze ? "1" : "0", 1);
	return io_write_file(f->dirfd, "freezer.state", freeze ? "FROZEN" : "THAWED", 6);
}

/* Which kind of directory it is, or a story of why it will not do. */
static int classify(struct cgroup_freezer *f, struct err *err)
{
	struct statfs fs;
	struct statx stx;

	if (fstatfs(f->dirfd, &fs) < 0)
		return err_sys(err, -errno, "freezer group '%s'", f->path);
	if (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC)
		return err_usage(err, "freezer group '%s' is not a control group", f->path);
	f->unified = fs.f_type == CGROUP2_SUPER_MAGIC;
	if (cg_dir_is_machine_root(f->dirfd) ||
	    (!statx(f->dirfd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) &&
	     (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))) {
		err_usage(err,
			  "freezer group '%s' is the root of a hierarchy: freezing it would stop "
			  "everything on this machine",
			  f->path);
		err_hint(err, "name the container's own group");
		return err->code;
	}
	if (!faccessat(f->dirfd, f->unified ? "cgroup.freeze" : "freezer.state", F_OK, 0))
		return 0;
	if (f->unified)
		return err_refuse(err, "cgroup '%s' has no cgroup.freeze (Linux 5.2)", f->path);
	err_usage(err, "'%s' is in a cgroup v1 hierarchy without the freezer controller", f->path);
	err_hint(err, "name a directory of the freezer hierarchy or of cgroup2");
	return err->code;
}

/* An engine that freezes itself never thaws anything. */
static int refuse_own_group(const struct cgroup_freezer *f, struct err *err)
{
	struct cgroup_pids pids = { 0 };
	int r = cg_tree_pids(f->dirfd, &pids);
	bool own = cgroup_pids_has(&pids, getpid());

	vec_free(&pids.pids);
	if (r < 0 && r != -EXDEV)
		return err_sys(err, r, "listing the processes of '%s'", f->path);
	if (!own)
		return 0;
	err_usage(err, "freezer group '%s' holds this very process, which would freeze itself",
		  f->path);
	err_hint(err, "start the engine from another control group");
	return err->code;
}

/* Takes the descriptor over, also on failure. */
static int open_at(int dirfd, const char *path, struct cgroup_freezer **ret, struct err *err)
{
	cleanup_with(cleanup_freezerp) struct cgroup_freezer *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		close(dirfd);
		return err_nomem(err);
	}
	f->dirfd = dirfd;
	f->path = strdup(path);
	if (!f->path)
		return err_nomem(err);
	r = classify(f, err);
	if (r >= 0)
		r = refuse_own_group(f, err);
	if (r < 0)
		return r;
	r = read_wanted(f, &f->was_frozen);
	if (r < 0)
		return err_sys(err, r, "reading the freezer state of '%s'", path);
	*ret = take_ptr(f);
	return 0;
}

int freezer_open(const char *path, struct cgroup_freezer **ret, struct err *err)
{
	int fd;

	if (path[0] != '/')
		return err_usage(err, "freezer group '%s' is not an absolute path", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		err_sys(err, -errno, "opening the freezer group '%s'", path);
		err_hint(err, "--freeze-cgroup takes the directory of a control group");
		return err->code;
	}
	return open_at(fd, path, ret, err);
}

/* The freezer of one hierarchy for a task's group; FREEZER_NONE where it must not be frozen. */
static int open_member(struct cg_layout *l, struct cg_hier *h, const char *path,
		       struct cgroup_freezer **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char hier[160];
	int root, fd, r;

	if (!strcmp(path, "/") || !cg_path_is_clean(path) || cg_path_is_below(h->own_path, path))
		return FREEZER_NONE;
	root = cg_hier_root(l, h, err);
	if (root < 0)
		return root;
	fd = cg_open(root, path);
	if (fd < 0)
		return err_sys(err, fd, "opening group '%s' of the %s", path,
			       cg_hier_text(h->name, hier));
	r = buf_printf(&text, "%s: %s", cg_hier_text(h->name, hier), path);
	if (r < 0) {
		close(fd);
		return err_nomem(err);
	}
	return open_at(fd, text.data, ret, err);
}

int freezer_open_task(pid_t pid, struct cgroup_freezer **ret, struct err *err)
{
	cleanup_with(cleanup_layoutp) struct cg_layout l = { 0 };
	cleanup_members struct cg_members m = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_fd int proc = io_open_proc(pid);
	struct cg_member *one;
	int r = proc;

	if (r >= 0)
		r = io_read_file(proc, "cgroup", &text);
	if (r >= 0)
		r = cg_members_parse(text.data, text.len, &m);
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/cgroup", pid);
	r = cg_layout_init(&l, err);
	if (r < 0)
		return r;
	/* cgroup2 first: tasks that it froze can be killed and traced, those of v1 cannot. */
	for (int version = 2; version >= 1; version--)
		vec_foreach (one, &m.list) {
			bool v2 = !one->name[0];
			struct cg_hier *h = cg_layout_find(&l, one->name, strcspn(one->name, ","));

			if (v2 != (version == 2) || !h || one->deleted ||
			    (!v2 && !cg_list_has(one->name, "freezer", 7)))
				continue;
			r = open_member(&l, h, one->path, ret, err);
			if (r != FREEZER_NONE)
				return r;
		}
	return FREEZER_NONE;
}

void freezer_close(struct cgroup_freezer *f)
{
	if (!f)
		return;
	close(f->dirfd);
	free(f->path);
	free(f);
}

bool freezer_was_frozen(const struct cgroup_freezer *f)
{
	return f->was_frozen;
}

const char *freezer_path(const struct cgroup_freezer *f)
{
	return f->path;
}

int freezer_dirfd(const struct cgroup_freezer *f, bool *ret_unified)
{
	*ret_unified = f->unified;
	return f->dirfd;
}

/*
 * Waits for a change. v2 wakes a poll on cgroup.events; v1 has no event, so the state is asked
 * again and again. v1 must also be told FROZEN again: a task that was being forked, or that could
 * not stop at the first attempt, is tried only when somebody writes or reads.
 */
static int wait_change(const struct cgroup_freezer *f, int events, unsigned int round, int left_ms)
{
	struct timespec nap = { .tv_nsec = (round < 10 ? 1 : 10) * 1000000L };
	struct pollfd p = { .fd = events, .events = POLLPRI };

	if (f->unified)
		return poll(&p, 1, left_ms) < 0 && errno != EINTR ? -errno : 0;
	nanosleep(&nap, NULL);
	return 0;
}

/* 0 when the state is reached, -ETIMEDOUT, or another errno. */
static int drive(struct cgroup_freezer *f, bool freeze, int timeout_ms)
{
	enum freezer_state want = freeze ? STATE_FROZEN : STATE_THAWED, state;
	int64_t end = now_ms() + timeout_ms;
	cleanup_fd int events = -EBADF;
	char first[256];

	if (f->unified) {
		events = openat(f->dirfd, "cgroup.events", O_RDONLY | O_CLOEXEC);
		if (events < 0)
			return -errno;
	}
	for (unsigned int round = 0;; round++) {
		int64_t left;
		int r;

		/* poll() reports changes since the last read of the same descriptor. */
		if (f->unified && pread(events, first, sizeof(first), 0) < 0)
			return -errno;
		r = !f->unified || !round ? write_state(f, freeze) : 0;
		if (r >= 0)
			r = read_state(f, &state);
		if (r < 0)
			return r;
		if (state == want)
			return 0;
		left = end - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		r = wait_change(f, events, round, (int)left);
		if (r < 0)
			return r;
	}
}

/* "412 (dd, D)": who did not stop. At most a handful. */
static void describe_running(const struct cgroup_freezer *f, struct buf *text)
{
	struct cgroup_pids pids = { 0 };
	int shown = 0;

	(void)cg_tree_pids(f->dirfd, &pids);
	for (size_t i = 0; i < pids.pids.n && shown < 5; i++) {
		cleanup_fd int proc = io_open_proc(pids.pids.v[i]);
		cleanup_buf struct buf raw = BUF_INIT;
		struct proc_stat st;

		if (proc < 0 || io_read_file(proc, "stat", &raw) < 0 ||
		    proc_stat_parse(raw.data, raw.len, &st) < 0)
			continue;
		if (!strchr("DR", st.state))
			continue;
		(void)buf_printf(text, "%s%d (%s, state %c)", shown++ ? ", " : "", st.pid, st.comm,
				 st.state);
	}
	vec_free(&pids.pids);
}

int freezer_freeze(struct cgroup_freezer *f, int timeout_ms, struct err *err)
{
	cleanup_buf struct buf who = BUF_INIT;
	int r;

	r = drive(f, true, timeout_ms);
	if (r >= 0)
		return 0;
	if (r == -ETIMEDOUT)
		describe_running(f, &who);
	if (!f->was_frozen)
		(void)write_state(f, false);
	if (r != -ETIMEDOUT)
		return err_sys(err, r, "freezing group '%s'", f->path);
	err_new(err, ERR_BUSY, r, "group '%s' did not freeze within %d ms%s%s", f->path, timeout_ms,
		who.len ? ", still running: " : "", who.len ? who.data : "");
	err_hint(err, "a task that waits for a disk or a network file system cannot be stopped; "
		      "try again, or give more time with --timeout");
	return r;
}

int freezer_thaw(struct cgroup_freezer *f, struct err *err)
{
	int r = drive(f, false, 1000);

	if (r == -ETIMEDOUT) {
		err_new(err, ERR_BUSY, r, "group '%s' stays frozen: a group above it is", f->path);
		err_hint(err, "thaw the group above it first");
		return r;
	}
	if (r < 0)
		return err_sys(err, r, "thawing group '%s'", f->path);
	return 0;
}

int freezer_restore(struct cgroup_freezer *f, struct err *err)
{
	int r = write_state(f, f->was_frozen);

	return r < 0 ? err_sys(err, r, "setting the freezer of group '%s' back", f->path) : 0;
}

int freezer_pids(const struct cgroup_freezer *f, struct cgroup_pids *ret, struct err *err)
{
	struct cgroup_pids pids = { 0 };
	int r = cg_tree_pids(f->dirfd, &pids);

	if (r >= 0) {
		*ret = pids;
		return 0;
	}
	vec_free(&pids.pids);
	if (r != -EXDEV)
		return err_sys(err, r, "listing the processes of group '%s'", f->path);
	err_refuse(err, "group '%s' holds processes outside of this pid namespace", f->path);
	err_hint(err, "run the engine in the pid namespace of the host");
	return err->code;
}
