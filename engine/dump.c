/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The story of a dump, from top to bottom. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "cgroups/cgroups.h"
#include "cgroups/freezer.h"
#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/steps.h"
#include "engine/cpuinfo.h"
#include "engine/files/files.h"
#include "engine/files/locks.h"
#include "engine/files/terminals.h"
#include "engine/mem/mem.h"
#include "engine/ns/mqueue.h"
#include "engine/ns/ns.h"
#include "engine/op.h"
#include "engine/plugin/plugin.h"
#include "engine/plugins.h"
#include "engine/sockets/tcp.h"
#include "engine/stats.h"
#include "engine/task/attr.h"
#include "engine/task/task.h"
#include "engine/tracee/guardian.h"
#include "mounts/mounts.h"
#include "proto/inventory.pb-c.h"

static int step_prepare(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = op_open_dirs(d->opts, true, &d->images_fd, &d->work_fd, err);

	if (r == 0 && image_set_new(&d->images) < 0)
		r = err_nomem(err);
	if (r == 0)
		r = guardian_start(&d->guardian, err);
	if (r == 0)
		r = dump_load_plugins(d, err);
	return r == 0 ? op_notify(d->opts, "pre-dump", 0, err) : r;
}

static void undo_prepare(void *ctx, bool failed)
{
	struct dump *d = ctx;

	dump_unload_plugins(d, failed);
	terminals_done(d);
	mqueues_done(d);
	guardian_stop(d->guardian);
	if (failed && d->images && d->images_fd >= 0) {
		image_set_discard(d->images, d->images_fd);
		pages_discard(d);
	}
}

/* What the guardian has to do should we die: bring back the state in which the cgroup was found. */
static void note_freezer(struct dump *d)
{
	bool unified, frozen = freezer_was_frozen(d->freezer);
	char path[512];

	freezer_dirfd(d->freezer, &unified);
	snprintf(path, sizeof(path), "%s/%s", freezer_path(d->freezer),
		 unified ? "cgroup.freeze" : "freezer.state");
	guardian_note_write(d->guardian, path, unified ? "0" : "THAWED", false);
	if (frozen)
		guardian_note_write(d->guardian, path, unified ? "1" : "FROZEN", true);
}

/*
 * The container's cgroup stops at one moment and is seized; then it is thawed, because a frozen
 * task (v1) does not report its stop and cannot run programs.
 */
static int step_freeze(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &d->times.freeze_start);
	if (!d->opts->freeze_cgroup)
		return 0;
	r = freezer_open(d->opts->freeze_cgroup, &d->freezer, err);
	if (r < 0)
		return r;
	note_freezer(d);
	/* while the task can still answer; others are paused before they are stopped */
	r = plugin_optional(err, plugins_pause_devices(d->plugins, d->opts->pid), "PAUSE_DEVICES");
	if (r < 0)
		return r;
	r = freezer_freeze(d->freezer, (int)(d->opts->timeout_s ?: 10) * 1000, err);
	if (r == 0)
		r = tree_seize_frozen(d, d->freezer, err);
	return r == 0 ? freezer_thaw(d->freezer, err) : r;
}

static void undo_freeze(void *ctx, bool failed)
{
	struct dump *d = ctx;
	struct err err = ERR_INIT;

	/* also what was seized before a failure */
	tree_release(d);
	if (d->freezer && freezer_restore(d->freezer, &err) < 0)
		log_err(d->log, &err);
	freezer_close(d->freezer);
	d->freezer = NULL;
}

static int step_collect(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = tree_collect(d, err);

	if (r == 0)
		r = tree_identify(d, err);
	if (r == 0)
		r = tree_check(d, err);
	if (r == 0)
		r = ns_collect(d, err);
	if (r == 0)
		r = tree_check_strangers(d, d->freezer, err);
	if (r == 0)
		r = dump_checkpoint_devices(d, err);
	clock_gettime(CLOCK_MONOTONIC, &d->times.frozen);
	return r;
}

static bool kills_tree(const struct dump *d, bool failed)
{
	return !failed && !d->opts->leave_running && !d->opts->leave_stopped;
}

static void undo_collect(void *ctx, bool failed)
{
	struct dump *d = ctx;
	struct err err = ERR_INIT;
	bool kill_it = kills_tree(d, failed);

	if (d->let_go)
		return;
	dump_unload_plugins(d, failed);
	if (kill_it)
		tree_kill(d);
	else if (d->opts->leave_stopped && !failed)
		tree_stop(d);
	/* A cgroup that was frozen before is frozen again before anything in it can run. */
	if (d->freezer && freezer_was_frozen(d->freezer) && !kill_it &&
	    freezer_restore(d->freezer, &err) < 0)
		log_err(d->log, &err);
	tree_release(d);
	clock_gettime(CLOCK_MONOTONIC, &d->times.thawed);
	if (kill_it)
		tree_wait_gone(d);
}

/* Whether the tree has a network namespace of its own, which a client can cut off for the time. */
static bool has_own_network(const struct dump *d)
{
	return d->root_ns.id[NS_NET] != d->host_ns.id[NS_NET];
}

static int step_ask_client(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = has_own_network(d) ? op_notify(d->opts, "network-lock", 0, err) : 0;

	return r == 0 ? op_notify(d->opts, "query-ext-files", 0, err) : r;
}

/* Tasks that end or stay stopped have no use for it. */
static void undo_ask_client(void *ctx, bool failed)
{
	struct dump *d = ctx;
	struct err err = ERR_INIT;

	if (has_own_network(d) && (failed || d->opts->leave_running) &&
	    op_notify(d->opts, "network-unlock", 0, &err) < 0)
		log_err(d->log, &err);
}

static void refuse_mount(void *arg, const char *text)
{
	dump_refuse(arg, NULL, "%s", text);
}

static int step_mounts(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r;

	if (d->root_ns.id[NS_MNT] == d->host_ns.id[NS_MNT])
		return 0;
	r = mounts_collect(&d->mounts, dump_root_tid(d), err);
	if (r < 0)
		return r;
	mounts_use_plugins(d->mounts, d->plugins);
	return mounts_resolve(d->mounts, d->opts, refuse_mount, d, err);
}

static void undo_mounts(void *ctx, bool failed)
{
	struct dump *d = ctx;

	mounts_free(d->mounts);
	d->mounts = NULL;
}

static int step_objects(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	struct dump_task **t;
	int r = 0;

	vec_foreach (t, &d->tasks) {
		if ((*t)->state == TASK_DEAD)
			continue;
		r = files_collect(d, *t, err);
		if (r == 0)
			r = files_write_fs(d, *t, err);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = mem_read(d, err);
	/* after all descriptors: the socket of a mapped ring may be another task's */
	vec_foreach (t, &d->tasks)
		if (r == 0 && (*t)->state != TASK_DEAD && (*t)->memory_of == *t)
			r = mem_collect(d, *t, err);
	if (r == 0)
		r = files_collect_rest(d, err);
	if (r == 0)
		r = terminals_resolve(d, err);
	if (r == 0)
		r = files_write_locks(d, err);
	return r == 0 ? locks_note_hidden(d, err) : r;
}

static void undo_objects(void *ctx, bool failed)
{
	files_done(ctx);
	shmem_done(ctx);
	pages_done(ctx);
	mem_collect_done(ctx);
}

static int refused(struct dump *d, struct err *err)
{
	if (!d->refusals.n)
		return 0;
	return err_refuse(err, "%zu thing%s cannot be kept, and nothing was touched: %s",
			  d->refusals.n, d->refusals.n == 1 ? "" : "s", d->refusals.text.data);
}

static int step_question(void *ctx, struct err *err)
{
	int r = tree_question(ctx, err);

	return r == 0 ? refused(ctx, err) : r;
}

/* Tasks that are about to be killed keep theirs: should we die before that, the guardian sees to
 * it. */
static void undo_question(void *ctx, bool failed)
{
	struct dump *d = ctx;
	struct err err = ERR_INIT;

	if (!kills_tree(ctx, failed) && !d->let_go)
		tree_unscratch(ctx, &err);
}

static int step_namespaces(void *ctx, struct err *err)
{
	return ns_dump(ctx, err);
}

static int dump_cgroups(struct dump *d, struct err *err)
{
	struct cgroups_dump_args args = {
		.opts = d->opts, .work_fd = d->work_fd, .freezer = d->freezer, .log = d->log
	};
	VEC(struct cgroup_task) list = { 0 };
	struct dump_task **t;
	struct dump_thread **th;
	size_t i = 0;
	int r;

	vec_foreach (t, &d->tasks) {
		vec_foreach (th, &(*t)->threads) {
			struct cgroup_task *c = (*t)->state == TASK_DEAD ? NULL : vec_add(&list);

			if (c)
				*c = (struct cgroup_task){ (*t)->pid, (*th)->t.tid, 0 };
		}
	}
	args.tasks = list.v;
	args.n_tasks = list.n;
	args.root = d->opts->pid;
	r = cgroups_dump(d->images, &args, &d->root_cg_set, err);
	vec_foreach (t, &d->tasks)
		vec_foreach (th, &(*t)->threads)
			if (r == 0 && (*t)->state != TASK_DEAD)
				core_set_cgroup(*th, list.v[i++].set_id);
	vec_free(&list);
	return r;
}

static int step_metadata(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = dump_cgroups(d, err);

	if (r == 0)
		r = seccomp_write(d, err);
	if (r == 0)
		r = cpuinfo_write(d, err);
	if (r == 0)
		r = refused(d, err);
	return r == 0 ? tree_write(d, err) : r;
}

/* Nothing is refused any more, and these are complete. */
static void begin_images(struct dump *d)
{
	static const enum image_type complete[] = { IMG_CORE, IMG_IDS, IMG_MM, IMG_FS };

	image_set_begin(d->images, d->images_fd, complete, sizeof(complete) / sizeof(complete[0]));
}

/* From here on peers get no answers; so it comes when all that could be refused has been. */
static int step_connections(void *ctx, struct err *err)
{
	return tcp_dump(ctx, err);
}

static void undo_connections(void *ctx, bool failed)
{
	struct dump *d = ctx;

	tcp_release(d, failed || d->opts->leave_running || d->opts->leave_stopped);
}

static int step_pages(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	struct dump_task **t;
	int r;

	begin_images(d);
	clock_gettime(CLOCK_MONOTONIC, &d->times.pages_start);
	r = shmem_dump(d, err);
	vec_foreach (t, &d->tasks) {
		if (r < 0)
			break;
		if ((*t)->state != TASK_DEAD && (*t)->memory_of == *t)
			r = mem_dump_pages(d, *t, err);
	}
	if (r == 0)
		r = pages_finish(d, err);
	clock_gettime(CLOCK_MONOTONIC, &d->times.pages_end);
	return r == 0 ? dump_devices_late(d, err) : r;
}

static int step_terminals(void *ctx, struct err *err)
{
	int r = terminals_drain(ctx, err);

	return r == 0 ? mqueues_drain(ctx, err) : r;
}

static void undo_terminals(void *ctx, bool failed)
{
	struct dump *d = ctx;

	if (!d->let_go && (failed || d->opts->leave_running || d->opts->leave_stopped)) {
		terminals_put_back(d);
		mqueues_put_back(d);
	}
}

static int write_inventory(struct dump *d, struct err *err)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	ids.vm_id = ids.files_id = ids.fs_id = ids.sighand_id = 1;
	ns_set_fill_ids(&d->host_ns, &ids);
	e.img_version = 2;
	e.has_fdinfo_per_id = e.fdinfo_per_id = true;
	e.has_ns_per_id = e.ns_per_id = true;
	e.root_ids = &ids;
	e.has_root_cg_set = true;
	e.root_cg_set = d->root_cg_set;
	e.has_lsmtype = true;
	e.lsmtype = LSMTYPE__NO_LSM;
	e.has_dump_uptime = true;
	e.dump_uptime = (uint64_t)up.tv_sec * 1000000 + (uint64_t)up.tv_nsec / 1000;
	e.has_network_lock_method = true;
	e.network_lock_method = (uint32_t)tcp_lock_method(d);
	e.dump_criu_run_id = (char *)tcp_lock_id(d);
	e.has_tcp_close = e.tcp_close = d->opts->tcp_close;
	if (dump_note_plugins(d, &e) < 0 || mqueues_fill(d, &e) < 0 ||
	    image_add(image_get(d->images, IMG_INVENTORY, "inventory.img"), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

/* The contents of mounts after that: a new name may be among them. */
static int step_links(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = files_make_links(d, err);

	return r == 0 && d->mounts ? mounts_dump(d->mounts, d->images, d->root_ns.id[NS_MNT], err)
				   : r;
}

static void undo_links(void *ctx, bool failed)
{
	files_undo_links(ctx, failed);
}

/*
 * A tree that goes on has nothing to do with the rest, which waits for the disk. Not when somebody
 * is told of the end of the dump: they may count on a tree that stands still, for a copy of its
 * files.
 */
static void let_go_early(struct dump *d)
{
	if (!d->opts->leave_running || d->opts->notify || plugins_any(d->plugins))
		return;
	undo_terminals(d, false);
	undo_connections(d, false);
	undo_question(d, false);
	undo_collect(d, false);
	d->let_go = true;
}

static int step_commit(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = write_inventory(d, err);

	if (r == 0)
		let_go_early(d);

	return r == 0 ? image_set_commit(d->images, d->images_fd, err) : r;
}

/* A client that refuses here keeps its tasks: they go on, and the images are taken back. */
static int step_post(void *ctx, struct err *err)
{
	struct dump *d = ctx;
	int r = op_notify(d->opts, "post-dump", 0, err);

	if (r < 0)
		unlinkat(d->images_fd, "inventory.img", 0);
	return r;
}

static const struct step dump_steps[] = {
	{ "preparing", step_prepare, undo_prepare },
	{ "freezing the cgroup", step_freeze, undo_freeze },
	{ "collecting tasks", step_collect, undo_collect },
	{ "asking the client", step_ask_client, undo_ask_client },
	{ "collecting mounts", step_mounts, undo_mounts },
	{ "collecting files and memory", step_objects, undo_objects },
	{ "dumping namespaces", step_namespaces, NULL },
	{ "asking the tasks", step_question, undo_question },
	{ "dumping attributes", step_metadata, NULL },
	{ "cutting off connections", step_connections, undo_connections },
	{ "dumping memory", step_pages, NULL },
	{ "linking deleted files, dumping mounts", step_links, undo_links },
	{ "draining terminals", step_terminals, undo_terminals },
	{ "writing images", step_commit, NULL },
	{ "ending the dump", step_post, NULL },
	{ NULL, NULL, NULL },
};

static int run(struct dump *d, struct err *err)
{
	sigset_t hold, old;
	int r;

	/* TERM and INT would leave others in the middle: they are taken when all is undone. */
	sigemptyset(&hold);
	sigaddset(&hold, SIGTERM);
	sigaddset(&hold, SIGINT);
	sigaddset(&hold, SIGHUP);
	sigprocmask(SIG_BLOCK, &hold, &old);
	r = steps_run(dump_steps, d, d->log, err);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

int ckpt_dump(const struct ckpt_options *opts, struct ckpt_result *ret, struct err *err)
{
	struct dump *d = calloc(1, sizeof(*d));
	struct rlimit files;
	struct log log;
	int r;

	if (!d)
		return err_nomem(err);
	op_raise_file_limit(&files);
	d->opts = opts;
	d->images_fd = d->work_fd = -EBADF;
	r = op_open_log(opts, &log, err);
	if (r == 0) {
		d->log = &log;
		r = op_refuse_options(opts, true, err);
		if (r == 0)
			r = run(d, err);
		if (r == 0)
			stats_write_dump(d);
		if (r < 0)
			log_err(&log, err);
		else
			log_write(&log, LOG_MSG, __FILE__, __LINE__,
				  "Dumping finished successfully");
		op_close_log(opts, &log);
	}
	tree_done(d);
	gadget_cache_done(&d->gadgets);
	seccomp_done(d);
	sem_undo_done(d);
	image_set_free(d->images);
	arena_done(&d->arena);
	buf_done(&d->refusals.text);
	op_close(&d->images_fd);
	op_close(&d->work_fd);
	free(d);
	op_limit_files_back(&files);
	return r < 0 ? err_wrap(err, r, "dumping task %d", opts->pid) : 0;
}
