/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known before a restore does anything: images, bundle, configuration, names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "oci/path.h"
#include "runtime/restore.h"

static int load_saved(struct restoring *rs, struct err *err)
{
	const char *dir = rs->o->choices.image_path ?: "checkpoint";
	cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0) {
		err_sys(err, -errno, "opening the images folder '%s'", dir);
		err_hint(err, "name it with --image-path");
		return err->code;
	}
	if (faccessat(fd, "inventory.img", F_OK, 0) < 0 && errno == ENOENT) {
		err_image(err,
			  "'inventory.img' is missing in '%s': it holds no complete checkpoint",
			  dir);
		err_hint(err,
			 "a checkpoint that fails or is interrupted leaves none; make it again");
		return -EBADMSG;
	}
	r = saved_read(&rs->saved, fd, err);
	if (r == 0 && rs->saved.runtime == OCI_RUNC && !rs->saved.state.len) {
		r = err_image(err, "'state.json' of runc is missing in '%s'", dir);
		err_hint(err, "runc's state cannot be made without it; "
			      "use images that 'crun-criu checkpoint' wrote");
	}
	return r;
}

/* The operator's choice of a runtime must be able to own the container. */
static int check_runtime(struct restoring *rs, struct err *err)
{
	enum oci_runtime kind;
	char program[PATH_MAX];
	int r = find_chosen(rs->o->runtime, RT_CONFIG_FILE, program, sizeof(program), err);

	if (r == -ENOENT && err->class == ERR_NONE)
		return 0;
	if (r < 0)
		return r;
	if (!find_runtime_kind(program, &kind) || kind == rs->saved.runtime)
		return 0;
	if (!rs->saved.known && kind == OCI_CRUN) {
		rs->saved.runtime = kind;
		return 0;
	}
	r = err_usage(err, "the images are of a container of %s, and cannot become one of '%s'",
		      find_runtime_name(rs->saved.runtime), program);
	err_hint(err, "choose %s as the runtime", find_runtime_name(rs->saved.runtime));
	return r;
}

static int choose_place(struct restoring *rs, struct err *err)
{
	struct find_env env;
	struct find_result *at = &rs->at;
	int r;

	find_env_get(&env, rs->o->root);
	at->runtime = rs->saved.runtime;
	find_default_root(&env, at->runtime, at->root, sizeof(at->root));
	if (snprintf(at->dir, sizeof(at->dir), "%s/%s", at->root, rs->id) >= (int)sizeof(at->dir))
		return err_usage(err, "the path of the state below '%.80s' is too long", at->root);
	if (!statedir_exists(at))
		return 0;
	r = err_usage(err, "container '%s' exists already ('%s')", rs->id, at->dir);
	err_hint(err, "delete it first, or restore under another name");
	return r;
}

static int parse_old(struct restoring *rs, struct err *err)
{
	const struct buf *text = &rs->saved.state;
	struct err ignored = ERR_INIT;
	int r = 0;

	if (rs->saved.runtime == OCI_RUNC)
		r = oci_state_parse_runc(&rs->old, "state.json", text->data, text->len, err);
	else if (text->len)
		r = oci_state_parse_crun(&rs->old, rs->saved.id ?: rs->id, "status", text->data,
					 text->len, err);
	if (r == 0 && rs->saved.config.len &&
	    oci_spec_parse(&rs->then, "config.json", rs->saved.config.data, rs->saved.config.len,
			   &ignored) < 0)
		rs->then = (struct oci_spec){ 0 };
	return r;
}

/* --bundle, else the current folder if it is one, else where it was at the checkpoint. */
static int find_bundle(struct restoring *rs, struct err *err)
{
	const char *given = rs->o->choices.bundle;
	char real[PATH_MAX];

	if (!given)
		given = access("config.json", F_OK) < 0 && rs->old.bundle ? rs->old.bundle : ".";
	if (!realpath(given, real)) {
		err_sys(err, -errno, "opening the bundle '%s'", given);
		err_hint(err, "name it with --bundle");
		return err->code;
	}
	rs->bundle = arena_strdup(&rs->arena, real);
	return rs->bundle ? 0 : err_nomem(err);
}

static int load_config(struct restoring *rs, struct err *err)
{
	char path[PATH_MAX + 16];
	int r;

	snprintf(path, sizeof(path), "%s/config.json", rs->bundle);
	r = config_load(path, &rs->config_text, &rs->spec, err);
	if (r < 0)
		return r;
	rs->rootfs = oci_path_clean(&rs->arena, rs->bundle, rs->spec.root_path);
	return rs->rootfs ? 0 : err_nomem(err);
}

int restoring_load(struct restoring *rs, struct err *err)
{
	int r = find_check_id(rs->id, err);

	if (r == 0)
		r = load_saved(rs, err);
	if (r == 0)
		r = check_runtime(rs, err);
	if (r == 0)
		r = choose_place(rs, err);
	if (r == 0)
		r = parse_old(rs, err);
	if (r == 0)
		r = find_bundle(rs, err);
	if (r == 0)
		r = load_config(rs, err);
	rs->old.systemd_cgroup |= rs->o->systemd_cgroup;
	return r;
}
