/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crun-criu restore: a container that its runtime owns again. */
#include "runtime/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

static int run_hooks(struct restoring *rs, pid_t pid, struct err *err)
{
	struct hook_state state = { .oci_version = rs->spec.oci_version,
				    .id = rs->id,
				    .status = "creating",
				    .bundle = rs->bundle,
				    .pid = pid,
				    .annotations = &rs->spec.annotations };
	int r = hooks_run(&rs->spec.hooks.prestart, "prestart", &state, err);

	return r == 0 ? hooks_run(&rs->spec.hooks.create_runtime, "createRuntime", &state, err) : r;
}

/* Written beside and renamed: whoever reads it finds the whole number. */
static int write_pid_file(struct restoring *rs, pid_t pid, struct err *err)
{
	const char *path = rs->o->choices.pid_file;
	cleanup_fd int fd = -EBADF;
	char temp[PATH_MAX], text[16];
	int r;

	if (!path)
		return 0;
	if (snprintf(temp, sizeof(temp), "%s.%d", path, getpid()) >= (int)sizeof(temp))
		return err_usage(err, "--pid-file: the path is too long");
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	snprintf(text, sizeof(text), "%d", pid);
	r = fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0) {
		if (fd >= 0)
			unlink(temp);
		return err_sys(err, r, "writing the pid file '%s'", path);
	}
	rs->pid_file_written = true;
	return 0;
}

/*
 * The tree is whole and does not run yet. The state is written now, so that no moment exists in
 * which the container runs and its runtime does not know it.
 */
static int hand_over(struct restoring *rs, pid_t pid, struct err *err)
{
	int r = 0;

	if (rs->cgroup)
		r = cgroup_check_process(pid, &rs->p.view, err);
	if (r == 0)
		r = restoring_fill_state(rs, pid, err);
	if (r == 0)
		r = write_pid_file(rs, pid, err);
	if (r == 0)
		r = statedir_write(&rs->at, &rs->state, &rs->spec, &rs->config_text, &rs->saved,
				   err);
	rs->state_written = r == 0;
	return r;
}

static int at_stage(void *arg, const char *stage, pid_t pid, int fd, struct err *err)
{
	struct restoring *rs = arg;
	int r = 0;

	if (strcmp(stage, "setup-namespaces") == 0)
		r = run_hooks(rs, pid, err);
	else if (strcmp(stage, "orphan-pts-master") == 0 && fd >= 0)
		r = restoring_send_console(rs, fd, err);
	else if (strcmp(stage, "post-restore") == 0)
		r = hand_over(rs, pid, err);
	return r == 0 ? stages_run(&rs->stages, stage, pid, err) : r;
}

int restoring_make_plan(struct restoring *rs, struct err *err)
{
	struct hostview *view = &rs->p.view;
	struct oci_choices choices = rs->o->choices;
	int images = open(choices.image_path ?: "checkpoint", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    r;
	cleanup_fd int images_fd = images;
	char empty[PATH_MAX + 32];

	r = hostview_hierarchies(view, err);
	if (r == 0)
		r = cgroup_choose(&rs->arena, &rs->spec, rs->then.root_path ? &rs->then : NULL,
				  &rs->old, rs->saved.id, rs->id, view, &rs->cgroup, err);
	if (r == 0)
		r = hostview_for_restore(view, &rs->spec, rs->rootfs, rs->bundle, images_fd, err);
	if (r < 0)
		return r;
	hostview_place(view, &rs->old, rs->cgroup);
	view->facts.descriptors =
		(struct ckpt_strings){ rs->saved.descriptors.v, rs->saved.descriptors.n };
	snprintf(empty, sizeof(empty), "%s/.empty-directory", rs->at.root);
	if (rs->at.runtime == OCI_CRUN && access(empty, F_OK) == 0)
		view->facts.masked_dir_source = arena_strdup(&view->arena, empty);
	r = restoring_fill_state(rs, 0, err);
	choices.direction = OCI_RESTORE;
	choices.bundle = rs->bundle;
	choices.root_mount = rs->fs.mount;
	return r == 0 ? prepare_plan(&rs->p, &rs->spec, &rs->state, &choices, err) : r;
}

/* Two containers in one cgroup would end with the first of them. */
static int check_cgroup_free(struct restoring *rs, struct err *err)
{
	pid_t pid;
	int r = cgroup_dirs_of(&rs->arena, &rs->state, &rs->p.view, &rs->cgroups, err);

	if (r < 0)
		return r;
	pid = cgroup_find_process(&rs->cgroups);
	if (pid <= 0)
		return 0;
	r = err_new(err, ERR_BUSY, -EBUSY, "the cgroup '%s' has processes already, %d among them",
		    rs->cgroup, pid);
	err_hint(err, "another container uses it: end that one, or give linux.cgroupsPath");
	return r;
}

static int prepare(struct restoring *rs, struct err *err)
{
	int r = restoring_load(rs, err);

	if (r == 0)
		r = rootfs_mount(&rs->fs, rs->rootfs, err);
	if (r == 0)
		r = restoring_make_plan(rs, err);
	if (r == 0)
		r = check_cgroup_free(rs, err);
	if (r == 0)
		r = restoring_open_fds(rs, err);
	if (r == 0)
		r = prepare_options(&rs->p, VERB_RESTORE, err);
	if (r == 0)
		r = restoring_add_files(rs, err);
	if (r == 0)
		r = stages_init(&rs->stages, &rs->p.cli, err);
	if (r == 0)
		r = rootfs_make_mountpoints(&rs->fs, &rs->p.plan, err);
	if (r < 0)
		return r;
	rs->p.cli.ckpt.notify = at_stage;
	rs->p.cli.ckpt.notify_arg = rs;
	/* we wait ourselves, to pass signals on */
	rs->p.cli.ckpt.restore_detached = true;
	if (rs->p.cli.ckpt.work_dir && mkdir(rs->p.cli.ckpt.work_dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "making the work folder '%s'", rs->p.cli.ckpt.work_dir);
	return 0;
}

static void undo(struct restoring *rs)
{
	struct err late = ERR_INIT;

	if (rs->state_written && statedir_remove(rs->at.dir, &late) < 0)
		fprintf(stderr, "crun-criu: %s\n", late.text);
	if (rs->pid_file_written)
		unlink(rs->o->choices.pid_file);
	rootfs_undo(&rs->fs);
}

void restoring_done(struct restoring *rs)
{
	int *fd;

	vec_foreach (fd, &rs->fds)
		close(*fd);
	vec_free(&rs->fds);
	vec_free(&rs->cgroups);
	rootfs_done(&rs->fs);
	prepared_done(&rs->p);
	saved_done(&rs->saved);
	oci_spec_done(&rs->spec);
	oci_spec_done(&rs->then);
	oci_state_done(&rs->old);
	buf_done(&rs->config_text);
	arena_done(&rs->arena);
}

static int run(struct restoring *rs, struct err *err)
{
	struct ckpt_result result = { 0 };
	bool stay = !rs->o->choices.detach;
	int r = prepare(rs, err), status;

	if (r == 0) {
		prepare_warn(&rs->p);
		if (rs->spec.linux_.has_seccomp && rs->at.runtime == OCI_CRUN &&
		    !rs->saved.seccomp.len)
			fprintf(stderr, "crun-criu: warning: the images have no 'seccomp.bpf': "
					"'exec' will run programs without a filter\n");
		if (stay) {
			restoring_block_signals();
			if (!rs->o->no_subreaper)
				prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		}
		r = ckpt_restore(&rs->p.cli.ckpt, &result, err);
	}
	if (r < 0) {
		undo(rs);
		return r;
	}
	if (!stay)
		return 0;
	status = restoring_stay(result.root_pid);
	r = container_forget(&rs->state, &rs->spec, rs->at.dir, &rs->cgroups, err);
	return r < 0 ? err_wrap(err, r, "clearing the ended container away") : status;
}

int rt_restore(struct rt_options *o, const char *id, struct err *err)
{
	struct restoring rs = { .o = o, .id = id };
	int r;

	umask(022);
	r = run(&rs, err);
	restoring_done(&rs);
	return r < 0 ? err_wrap(err, r, "restore of container '%s'", id) : r;
}
