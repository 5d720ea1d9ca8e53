/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The story of a restore, from top to bottom. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroups/cgroups.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/errand.h"
#include "engine/core/restore.h"
#include "engine/core/steps.h"
#include "engine/cpuinfo.h"
#include "engine/files/restore-files.h"
#include "engine/files/terminals.h"
#include "engine/files/watch.h"
#include "engine/mem/load.h"
#include "engine/ns/mqueue.h"
#include "engine/ns/ns.h"
#include "engine/op.h"
#include "engine/plugin/plugin.h"
#include "engine/plugins.h"
#include "engine/sockets/net-lock.h"
#include "engine/sockets/tcp.h"
#include "engine/stats.h"
#include "engine/task/attr.h"
#include "engine/task/builder.h"
#include "engine/task/load.h"
#include "engine/task/thread-tables.h"
#include "engine/task/task.h"
#include "engine/tracee/guardian.h"
#include "mounts/mounts.h"
#include "proto/inventory.pb-c.h"
#include "proto/task.pb-c.h"

static int read_inventory(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	InventoryEntry *e;
	int n = image_open(r->images_fd, IMG_INVENTORY, &reader, err, "inventory.img");

	if (n == IMAGE_ABSENT) {
		err_image(
			err,
			"'inventory.img' is missing: this directory holds no complete checkpoint");
		err_hint(err,
			 "a dump that fails or is interrupted leaves none; make the dump again");
		return -EBADMSG;
	}
	if (n == 0)
		n = image_one(reader, &inventory_entry__descriptor, &e, err);
	if (n < 0)
		return n;
	if (restore_keep(r, e) < 0)
		return err_nomem(err);
	if (e->img_version < 1 || e->img_version > 2)
		return err_image(err, "'inventory.img': images of version %u are not known",
				 e->img_version);
	if (!e->fdinfo_per_id || !e->root_ids)
		return err_image(err, "'inventory.img': the images are too old to be restored");
	if (e->lsmtype != LSMTYPE__NO_LSM && e->has_lsmtype)
		log_warn(r->log, "the images have labels of a security module, ignoring those of "
				 "unconfined tasks");
	if (e->has_tcp_close && e->tcp_close && !r->opts->tcp_close)
		return err_usage(err, "the dump was made with --tcp-close, and the restore needs "
				      "that option as well");
	r->root_cg_set = e->root_cg_set;
	r->net_lock_method = e->has_network_lock_method ? e->network_lock_method
							: NET_LOCK_IPTABLES;
	r->net_lock_id = e->dump_criu_run_id ? e->dump_criu_run_id : "";
	/* it becomes a word of what nft is told */
	if (r->net_lock_method > NET_LOCK_SKIP || strlen(r->net_lock_id) > 64 ||
	    r->net_lock_id[strspn(r->net_lock_id, "0123456789abcdefghijklmnopqrstuvwxyz"
						  "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")])
		return err_image(err, "'inventory.img': network_lock_method or dump_criu_run_id is "
				      "not valid");
	ns_set_read_ids(&r->host_ns, e->root_ids);
	n = mqueues_load(r, e, err);
	return n == 0 ? restore_load_plugins(r, e, err) : n;
}

static uint64_t own_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &head, data);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int map_counts(struct restore *r, struct err *err)
{
	r->counts = mmap(NULL, sizeof(*r->counts), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->counts != MAP_FAILED)
		return 0;
	r->counts = NULL;
	return err_sys(err, -errno, "mapping memory for counts");
}

static int step_prepare(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	int n = op_open_dirs(r->opts, false, &r->images_fd, &r->work_fd, err);

	clock_gettime(CLOCK_MONOTONIC, &r->times.start);
	if (n == 0)
		n = map_counts(r, err);
	r->own_caps = own_caps();
	if (n == 0)
		n = read_inventory(r, err);
	return n == 0 ? cpuinfo_load(r, err) : n;
}

static int load_tasks(struct restore *r, struct err *err)
{
	struct restore_task **t;
	int n = tree_load(r, err);

	if (n == 0)
		n = seccomp_load(r, err);
	if (n == 0)
		n = restore_files_load(r, err);
	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead)
			n = restore_files_load_table(r, *t, err);
	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead)
			n = restore_files_load_fs(r, *t, err);
	if (n == 0)
		n = thread_tables_load(r, err);
	return n == 0 ? restore_files_load_locks(r, err) : n;
}

static int highest_open(void)
{
	cleanup_dir DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int high = 2;

	while (dir && (e = readdir(dir)))
		if (atoi(e->d_name) > high)
			high = atoi(e->d_name);
	return high;
}

/*
 * Numbers for the engine's own descriptors in builders: above those of all tasks, above what is
 * open now, and with room below for what kinds hold while they make an object.
 */
static void choose_fd_base(struct restore *r)
{
	int high = restore_files_highest(r), open = highest_open();
	int room = 64 + restore_files_waiting(r);

	r->fd_low = open + 1;
	r->fd_base = (high > open ? high : open) + 1;
	if (r->fd_base < room)
		r->fd_base = room;
	r->fd_next = r->fd_base;
}

static int load_memory(struct restore *r, struct err *err)
{
	struct restore_task **t;
	int n = 0;

	choose_fd_base(r);
	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead)
			n = mem_load(r, *t, err);
	if (n == 0)
		n = device_prepare(r, err);
	return n == 0 ? shmem_load(r, err) : n;
}

static int load_surroundings(struct restore *r, struct err *err)
{
	struct cgroups_load_args args = {
		.opts = r->opts, .work_fd = r->work_fd, .root_set = r->root_cg_set, .log = r->log
	};
	int n = ns_load(r, err);

	if (n == 0)
		n = cgroups_load(r->images_fd, &args, &r->cgroups, err);
	return n == 0 ? tree_check_cgroups(r, err) : n;
}

static int build_programs(struct restore *r, struct restore_task *task, struct err *err)
{
	int n = mem_build_program(r, task, err);

	if (n == 0 && (program_settle(&task->prog_mm, &r->still) < 0 ||
		       program_settle(&task->prog_filled, &r->still) < 0))
		n = err_nomem(err);
	return n;
}

static int step_load(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	struct restore_task **t;
	int n = load_tasks(r, err);

	if (n == 0)
		n = load_surroundings(r, err);
	if (n == 0)
		n = tree_check_attrs(r, err);
	if (n == 0)
		n = load_memory(r, err);
	if (n == 0)
		n = restore_files_link(r, err);
	if (n == 0)
		n = mem_place_scratch(r, err);
	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead)
			n = build_programs(r, *t, err);
	return n;
}

static int note_cgroup(void *arg, int root_fd, const char *path, struct err *err)
{
	struct restore *r = arg;
	int n = r->guardian ? 0 : guardian_start(&r->guardian, err);

	if (n == 0)
		guardian_note_dir(r->guardian, root_fd, path);
	return n;
}

static int step_cgroups(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	int n = op_notify(r->opts, "pre-restore", 0, err);

	if (n == 0 && r->cgroups) {
		cgroups_note_created(r->cgroups, note_cgroup, r);
		n = cgroups_prepare(r->cgroups, err);
	}
	return n;
}

/* After the cgroups are made: external mounts may show them. */
static int step_mounts(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	int n;

	if (!(r->new_ns & CLONE_NEWNS))
		return 0;
	n = mounts_load(r->images_fd, r->tasks.v[0]->ids->mnt_ns_id, r->opts, &r->mounts, err);
	if (n == 0)
		n = mounts_plan_use_plugins(r->mounts, r->plugins, err);
	if (n == 0 && r->new_ns & CLONE_NEWUSER)
		n = mounts_plan_open(r->mounts, r->images_fd, err);
	return n;
}

static void undo_cgroups(void *ctx, bool failed)
{
	struct restore *r = ctx;

	if (failed && r->cgroups)
		cgroups_undo(r->cgroups);
	guardian_stop(r->guardian);
	r->guardian = NULL;
}

static int tell_orphan(void *arg, int fd, struct err *err)
{
	struct restore *r = arg;

	return op_notify_fd(r->opts, "orphan-pts-master", fd, err);
}

static int step_fork(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	int n = still_settle(&r->still);

	if (n < 0)
		return err_sys(err, n, "mapping memory for the builders");
	page_files_close(r);
	n = builders_fork(r, err);
	if (n == 0)
		n = terminals_orphans(r, tell_orphan, r, err);
	clock_gettime(CLOCK_MONOTONIC, &r->times.forked);
	return n == 0 ? tcp_adopt(r, err) : n;
}

static void undo_fork(void *ctx, bool failed)
{
	if (!failed)
		return;
	builders_kill(ctx);
	tcp_abandon(ctx);
}

static int step_revive(void *ctx, struct err *err)
{
	return tree_revive(ctx, err);
}

static int write_pidfile(struct restore *r, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char text[16];
	int n;

	if (!r->opts->pidfile)
		return 0;
	fd = openat(r->work_fd, r->opts->pidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, -errno, "creating pid file '%s'", r->opts->pidfile);
	snprintf(text, sizeof(text), "%d", r->tasks.v[0]->pid);
	n = io_write_all(fd, text, strlen(text));
	return n < 0 ? err_sys(err, n, "writing pid file '%s'", r->opts->pidfile) : 0;
}

static int step_finish(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	pid_t root = r->tasks.v[0]->pid;
	int n = ns_finish(r, root, err);

	watches_forget_events(r);
	if (n == 0 && r->cgroups)
		n = cgroups_finish(r->cgroups, err);

	if (n == 0)
		n = write_pidfile(r, err);
	if (n == 0)
		n = op_notify(r->opts, "post-restore", root, err);
	if (n == 0)
		n = tcp_resume(r, err);
	if (n < 0)
		return n;
	if (r->root_ns.id[NS_NET] != r->host_ns.id[NS_NET])
		op_notify_late(r->opts, r->log, "network-unlock", root);
	restore_resume_devices(r);
	op_notify_late(r->opts, r->log, "pre-resume", root);
	return r->cgroups ? cgroups_refreeze(r->cgroups, err) : 0;
}

/* When all are free there is no way back: errors are told, and nothing is undone. */
static int step_resume(void *ctx, struct err *err)
{
	struct restore *r = ctx;
	int n;

	restore_files_letting_go(r);
	n = tree_resume(r, err);

	if (n < 0)
		return n;
	clock_gettime(CLOCK_MONOTONIC, &r->times.done);
	op_notify_late(r->opts, r->log, "post-resume", r->tasks.v[0]->pid);
	return 0;
}

static const struct step restore_steps[] = {
	{ "preparing", step_prepare, NULL },
	{ "loading images", step_load, NULL },
	{ "making cgroups", step_cgroups, undo_cgroups },
	{ "loading mounts", step_mounts, NULL },
	{ "building tasks", step_fork, undo_fork },
	{ "finishing tasks", step_revive, NULL },
	{ "ending the restore", step_finish, NULL },
	{ "letting go", step_resume, NULL },
	{ NULL, NULL, NULL },
};

static void done(struct restore *r)
{
	struct restore_task **t;
	struct restore_thread **th;
	ProtobufCMessage **m;

	vec_foreach (t, &r->tasks) {
		vec_foreach (th, &(*t)->threads)
			tracee_done(&(*th)->t);
		vec_free(&(*t)->threads);
		vec_free(&(*t)->birth.forks);
		vec_free(&(*t)->fds);
		if ((*t)->pages && (*t)->memory_of == *t)
			page_map_done((*t)->pages);
		program_done(&(*t)->prog_mm);
		program_done(&(*t)->prog_filled);
	}
	vec_free(&r->tasks);
	vec_foreach (t, &r->helpers)
		vec_free(&(*t)->birth.forks);
	vec_free(&r->helpers);
	vec_foreach (t, &r->holders) {
		vec_free(&(*t)->threads);
		vec_free(&(*t)->fds);
	}
	vec_free(&r->holders);
	vec_free(&r->used_ids);
	vec_foreach (m, &r->messages)
		protobuf_c_message_free_unpacked(*m, NULL);
	vec_free(&r->messages);
	still_done(&r->still);
	if (r->scratch_addr)
		munmap((void *)r->scratch_addr, r->scratch_len + IMAGE_PAGE_SIZE);
	if (r->own_vmas)
		proc_vmas_done(r->own_vmas);
	errands_done(r);
	if (r->shared)
		munmap(r->shared, sizeof(*r->shared));
	if (r->counts)
		munmap(r->counts, sizeof(*r->counts));
	if (r->fd_base)
		syscall(SYS_close_range, r->fd_base, ~0u, 0);
	op_close(&r->engine_socket);
	restore_files_done(r);
	shmem_load_done(r);
	sysv_done(r);
	device_done(r);
	ns_done(r);
	mounts_plan_free(r->mounts);
	cgroups_plan_free(r->cgroups);
	op_close(&r->images_fd);
	op_close(&r->work_fd);
	arena_done(&r->arena);
	free(r);
}

static int run(struct restore *r, struct err *err)
{
	sigset_t hold, old;
	int n;

	sigemptyset(&hold);
	sigaddset(&hold, SIGTERM);
	sigaddset(&hold, SIGINT);
	sigaddset(&hold, SIGHUP);
	sigprocmask(SIG_BLOCK, &hold, &old);
	n = steps_run(restore_steps, r, r->log, err);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return n;
}

/* Not detached: we stay until the root has ended, and tell its status. A command that takes our
 * place waits itself. */
static void wait_for_root(const struct ckpt_options *opts, pid_t root, struct ckpt_result *ret)
{
	if (opts->restore_detached || opts->restore_sibling || opts->exec_cmd.n)
		return;
	while (waitpid(root, &ret->exit_status, 0) < 0 && errno == EINTR)
		;
}

int ckpt_restore(const struct ckpt_options *opts, struct ckpt_result *ret, struct err *err)
{
	struct restore *r = calloc(1, sizeof(*r));
	struct rlimit files;
	struct log log;
	int n;

	if (!r)
		return err_nomem(err);
	op_raise_file_limit(&files);
	r->opts = opts;
	r->images_fd = r->work_fd = r->engine_socket = -EBADF;
	n = op_open_log(opts, &log, err);
	if (n == 0) {
		r->log = &log;
		n = op_refuse_options(opts, false, err);
		if (n == 0)
			n = run(r, err);
		if (n == 0)
			stats_write_restore(r);
		plugins_unload(r->plugins, n);
		r->plugins = NULL;
		if (n < 0)
			log_err(&log, err);
		else
			log_write(&log, LOG_MSG, __FILE__, __LINE__,
				  "Restore finished successfully. Tasks "
				  "resumed.");
		op_close_log(opts, &log);
	}
	ret->root_pid = n == 0 ? r->tasks.v[0]->pid : 0;
	done(r);
	op_limit_files_back(&files);
	if (n == 0)
		wait_for_root(opts, ret->root_pid, ret);
	return n;
}
