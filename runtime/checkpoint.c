/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crun-criu checkpoint: the container's runtime must agree afterwards that it is gone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "runtime/container.h"
#include "runtime/prepare.h"
#include "runtime/stages.h"
#include "runtime/verbs.h"

static int open_images(const char *path, int *ret, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "making the images folder '%s'", path);
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(err, -errno, "opening the images folder '%s'", path) : 0;
}

static int make_work_dir(const char *path, struct err *err)
{
	if (path && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "making the work folder '%s'", path);
	return 0;
}

/* Files of the host that are standard streams are known to the engine by a key. */
static int declare_files(struct prepared *p, const struct saved_files *files, struct err *err)
{
	const struct saved_file *f;

	vec_foreach (f, files) {
		const char **it = vec_add(&p->cli.externals);

		if (it)
			*it = arena_printf(&p->cli.arena, "%s:%s", f->key, f->path);
		if (!it || !*it)
			return err_nomem(err);
	}
	cli_settle(&p->cli);
	return 0;
}

/* The end of a container: as its runtime's delete would, but without a signal to anybody. */
int container_forget(const struct oci_state *state, const struct oci_spec *spec, const char *dir,
		     const struct cgroup_dirs *cgroups, struct err *err)
{
	struct hook_state hook = { .oci_version = spec->oci_version,
				   .id = state->id,
				   .status = "stopped",
				   .bundle = state->bundle,
				   .annotations = &spec->annotations };
	struct err late = ERR_INIT;
	int r = cgroup_remove(cgroups, err);

	if (r == 0)
		r = statedir_remove(dir, err);
	if (r == 0 && hooks_run(&spec->hooks.poststop, "poststop", &hook, &late) < 0)
		fprintf(stderr, "crun-criu: warning: %s, ignoring\n", late.text);
	return r;
}

static int dump(struct prepared *p, const struct container *c, struct err *err)
{
	struct ckpt_result result = { 0 };
	struct saved_files files = { 0 };
	struct stages stages = { 0 };
	cleanup_fd int images = -EBADF;
	int r = open_images(p->cli.ckpt.images_dir, &images, err);

	if (r == 0)
		r = make_work_dir(p->cli.ckpt.work_dir, err);
	if (r == 0)
		r = saved_find_files(&p->cli.arena, c->state.pid, &files, err);
	if (r == 0)
		r = declare_files(p, &files, err);
	if (r == 0)
		r = stages_init(&stages, &p->cli, err);
	if (r == 0)
		r = saved_write(images, c, &p->plan, &files, err);
	vec_free(&files);
	if (r < 0)
		return r;
	r = ckpt_dump(&p->cli.ckpt, &result, err);
	if (r < 0)
		saved_remove(images);
	return r;
}

static int pre_dump(struct prepared *p, struct err *err)
{
	return err_refuse(err, "not supported yet: --pre-dump");
}

int rt_checkpoint(struct rt_options *o, const char *id, struct err *err)
{
	cleanup_container struct container c = { 0 };
	cleanup_prepared struct prepared p = { 0 };
	struct cgroup_dirs cgroups = { 0 };
	int r = container_load(&c, o, id, err);

	if (r == 0)
		r = container_check_running(&c, err);
	if (r == 0)
		r = prepare_dump(&p, &c, o, err);
	if (r == 0)
		r = prepare_options(&p, VERB_DUMP, err);
	/* before the tree is gone: what there is to be removed */
	if (r == 0)
		r = cgroup_dirs_of(&p.cli.arena, &c.state, &p.view, &cgroups, err);
	if (r == 0) {
		prepare_warn(&p);
		r = o->pre_dump ? pre_dump(&p, err) : dump(&p, &c, err);
	}
	if (r == 0 && !o->pre_dump && !p.cli.ckpt.leave_running) {
		r = container_forget(&c.state, &c.spec, c.at.dir, &cgroups, err);
		if (r < 0)
			err_wrap(err, r,
				 "the checkpoint is complete, but the container is not cleared "
				 "away");
	}
	vec_free(&cgroups);
	return r < 0 ? err_wrap(err, r, "checkpoint of container '%s'", id) : 0;
}
