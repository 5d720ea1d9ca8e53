// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Restore: reads mountpoints-N.img and proves that it describes a tree that can be made, before any
 * process exists. The file is hostile input.
 */
#include "mounts/mounts-priv.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/image/image.h"
#include "proto/mounts.pb-c.h"

/* More than the kernel's default of fs.mount-max, so no real tree has it. */
enum { MAX_MOUNTS = 200000 };

#define MOUNT_FLAGS                                                                                \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | \
	 MS_STRICTATIME | MS_NOSYMFOLLOW | MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE |     \
	 MS_REC)

/* Images without sb_flags have both in one word; which bit is whose is CRIU's choice of that time.
 */
#define OLD_MOUNT_FLAGS                                                                         \
	(MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE | MS_NOSUID | MS_NODEV | MS_NOEXEC | \
	 MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

static const char *bad_entry(const MntEntry *e)
{
	const struct mount_kind *kind = mount_kind_by_code((int)e->fstype);

	if (e->mnt_id > INT_MAX || e->parent_mnt_id > INT_MAX || e->shared_id > INT_MAX ||
	    e->master_id > INT_MAX)
		return "an id out of range";
	if (!kind)
		return "an unknown file system type";
	if ((kind->traits & KIND_AUTO) != (e->fsname ? KIND_AUTO : 0))
		return "a type name where none belongs";
	if (e->has_sb_flags && e->flags & ~(unsigned int)MOUNT_FLAGS)
		return "unknown flags";
	if (!e->ext_mount && !path_is_clean(e->root))
		return "a root that is not an absolute path";
	if (e->with_plugin && (e->ext_key || e->ext_mount || !strcmp(e->mountpoint, "/")))
		return "a plugin for what is no plugin's";
	return NULL;
}

static int copy_strings(struct mount *m, const MntEntry *e, const struct ckpt_options *opts)
{
	const char *fstype = e->fsname ? e->fsname : m->kind->name;
	/* Images of old put the key of an external mount into root. */
	const char *key = e->ext_mount ? e->root : e->ext_key;

	m->root = strdup(e->ext_mount ? "/" : e->root);
	m->path = strdup(*e->mountpoint ? e->mountpoint : "/");
	m->source = strdup(e->source);
	m->fstype = strdup(fstype);
	m->options = opts->lsm_mount_context
			     ? options_set_context(e->options, opts->lsm_mount_context)
			     : strdup(e->options);
	m->ext_key = key ? strdup(key) : NULL;
	return m->root && m->path && m->source && m->fstype && m->options && (!key || m->ext_key)
		       ? 0
		       : -ENOMEM;
}

static int add_entry(struct mount_tree *tree, const MntEntry *e, const struct ckpt_options *opts,
		     struct err *err)
{
	const char *why = bad_entry(e);
	struct mount *m;

	if (why)
		return err_image(err, "mount %u ('%s') has %s", e->mnt_id, e->mountpoint, why);
	if (tree->mounts.n >= MAX_MOUNTS)
		return err_image(err, "too many mounts");
	m = vec_add(&tree->mounts);
	if (!m)
		return err_nomem(err);
	m->host_fd = m->tree_fd = m->archive_fd = m->fd = -EBADF;
	m->id = (int)e->mnt_id;
	m->parent_id = (int)e->parent_mnt_id;
	m->shared = (int)e->shared_id;
	m->master = (int)e->master_id;
	m->sdev = e->root_dev;
	m->flags = e->flags & ~(unsigned int)MS_REC;
	m->sb_flags = e->sb_flags;
	if (!e->has_sb_flags) {
		m->sb_flags = e->flags & ~(unsigned int)OLD_MOUNT_FLAGS;
		m->flags = e->flags & (unsigned int)OLD_MOUNT_FLAGS;
	}
	m->deleted = e->deleted && !e->ext_key;
	m->internal_sharing = e->internal_sharing;
	m->kind = mount_kind_by_code((int)e->fstype);
	if (e->with_plugin)
		m->how = HOW_PLUGIN;
	return copy_strings(m, e, opts) < 0 ? err_nomem(err) : 0;
}

static void reverse(struct mount_tree *tree)
{
	for (size_t i = 0, j = tree->mounts.n; i + 1 < j; i++) {
		struct mount tmp = tree->mounts.v[i];

		tree->mounts.v[i] = tree->mounts.v[--j];
		tree->mounts.v[j] = tmp;
	}
}

static int read_image(struct image_reader *r, struct mount_tree *tree,
		      const struct ckpt_options *opts, struct err *err)
{
	const struct mount *at = NULL;
	const char *why;
	int ret;

	for (;;) {
		cleanup_msg MntEntry *e = NULL;

		ret = image_next(r, &mnt_entry__descriptor, &e, err);
		if (ret <= 0)
			break;
		ret = add_entry(tree, e, opts, err);
		if (ret < 0)
			return ret;
	}
	if (ret < 0)
		return ret;
	reverse(tree); /* CRIU writes the last mount first */
	ret = mounts_link(tree, &why, &at);
	if (ret < 0)
		return at ? err_image(err, "mount %d ('%s') has %s", at->id, at->path, why)
			  : err_image(err, "there is %s", why);
	return 0;
}

/* ---- external mounts ---- */

/* Finds the host's side of one external mount; if there is none, appends to missing. */
static int map_external(struct mount *m, const struct ckpt_options *opts, struct buf *missing)
{
	bool device = !strcmp(m->ext_key, KEY_DEVICE);
	const char *path;

	m->how = device ? HOW_NEW : HOW_EXTERNAL;
	if (!strcmp(m->ext_key, KEY_AUTO)) {
		if (!external_auto(opts).on)
			return buf_printf(missing, "%s'%s' (allow it with --external mnt[])",
					  missing->len ? ", " : "", m->path);
		path = m->source;
	} else if (device) {
		/* source is "dev[NAME]" and the option "dev[NAME]:DEVICE". */
		cleanup_free char *name = NULL;
		size_t len = strlen(m->source);

		if (len > 5 && !strncmp(m->source, "dev[", 4) && m->source[len - 1] == ']')
			name = strndup(m->source + 4, len - 5);
		path = name ? external_device(opts, name) : NULL;
		if (!path)
			return buf_printf(missing, "%s'%s' (give %s:DEVICE with --external)",
					  missing->len ? ", " : "", m->path, m->source);
	} else {
		path = external_lookup(opts, m->ext_key);
		if (!path)
			return buf_printf(missing, "%s'%s' (give mnt[%s]:PATH with --external)",
					  missing->len ? ", " : "", m->path, m->ext_key);
	}
	if (faccessat(AT_FDCWD, path, F_OK, 0) < 0)
		return buf_printf(missing, "%s'%s' ('%s': %m)", missing->len ? ", " : "", m->path,
				  path);
	m->ext_path = strdup(path);
	return m->ext_path ? 0 : -ENOMEM;
}

static int map_externals(struct mount_tree *tree, const struct ckpt_options *opts, struct err *err)
{
	cleanup_buf struct buf missing = BUF_INIT;
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		if (m->parent && m->ext_key && map_external(m, opts, &missing) < 0)
			return err_nomem(err);
	}
	if (missing.len)
		return err_new(err, ERR_USAGE, -ENOENT, "external mounts without a source: %s",
			       missing.data);
	return 0;
}

/* ---- what else can be known beforehand ---- */

static int refuse_bad(const struct mount_tree *tree, struct err *err)
{
	cleanup_buf struct buf all = BUF_INIT;
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		cleanup_buf struct buf text = BUF_INIT;
		int r = mount_refusal(m, tree, &text);

		if (r < 0 ||
		    (r > 0 && buf_printf(&all, "%s%s", all.len ? "; " : "", text.data) < 0))
			return err_nomem(err);
	}
	return all.len ? err_refuse(err, "%s", all.data) : 0;
}

static int check_archive(const struct mount *m, int img_dirfd, struct err *err)
{
	struct mount copy = { .id = m->id, .sdev = m->sdev, .path = m->path, .archive_fd = -EBADF };
	int r = mount_open_archive(&copy, img_dirfd, err);

	cleanup_closep(&copy.archive_fd);
	return r;
}

static int check_files(const struct mount_plan *plan, int img_dirfd, struct err *err)
{
	struct stat st;
	struct mount *m;
	int r;

	if (stat(plan->root, &st) < 0)
		return err_sys(err, -errno, "root '%s'", plan->root);
	if (!S_ISDIR(st.st_mode))
		return err_usage(err, "root '%s' is not a directory", plan->root);
	vec_foreach (m, &plan->tree->mounts) {
		if (m->how != HOW_NEW || !(m->kind->traits & KIND_CONTENT))
			continue;
		r = mounts_load_archive(err);
		if (r == 0)
			r = check_archive(m, img_dirfd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Terminals whose slave is mounted somewhere by itself: "/3" of a devpts of the tree. */
static int list_ptys(struct mount_plan *plan, struct err *err)
{
	struct mount *m;

	plan->ptys = calloc(plan->tree->mounts.n + 1, sizeof(*plan->ptys));
	if (!plan->ptys)
		return err_nomem(err);
	vec_foreach (m, &plan->tree->mounts) {
		struct mount_pty pty = { .sdev = m->sdev, .fd = -1 };
		size_t i = 0;
		char *end;

		if (m->how != HOW_BIND || strcmp(m->from->kind->name, "devpts") ||
		    m->from->how != HOW_NEW || !isdigit((unsigned char)m->root[1]))
			continue;
		pty.index = (int)strtoul(m->root + 1, &end, 10);
		if (*end || pty.index < 0)
			return err_image(err, "mount '%s' shows '%s' of a devpts", m->path,
					 m->root);
		while (i < plan->n_ptys &&
		       (plan->ptys[i].sdev != pty.sdev || plan->ptys[i].index != pty.index))
			i++;
		if (i == plan->n_ptys)
			plan->ptys[plan->n_ptys++] = pty;
	}
	return 0;
}

static int fill_plan(struct mount_plan *plan, struct image_reader *r, int img_dirfd,
		     const struct ckpt_options *opts, struct err *err)
{
	int ret;

	plan->tree = mounts_new();
	if (!plan->tree)
		return err_nomem(err);
	plan->root = opts->root && *opts->root ? opts->root : "/";
	ret = read_image(r, plan->tree, opts, err);
	if (ret < 0)
		return err_wrap(err, ret, "%s", image_name(r));
	ret = map_externals(plan->tree, opts, err);
	if (ret < 0)
		return ret;
	mounts_decide(plan->tree);
	ret = refuse_bad(plan->tree, err);
	if (ret == 0)
		ret = check_files(plan, img_dirfd, err);
	if (ret == 0)
		ret = list_ptys(plan, err);
	return ret;
}

int mounts_load(int img_dirfd, unsigned int ns_id, const struct ckpt_options *opts,
		struct mount_plan **ret, struct err *err)
{
	cleanup_with(cleanup_image_readerp) struct image_reader *reader = NULL;
	cleanup_with(cleanup_mount_planp) struct mount_plan *plan = calloc(1, sizeof(*plan));
	int r;

	if (!plan)
		return err_nomem(err);
	r = image_open(img_dirfd, IMG_MNTS, &reader, err, "mountpoints-%u.img", ns_id);
	if (r < 0)
		return r;
	if (r == IMAGE_ABSENT)
		return err_image(err, "mountpoints-%u.img is missing", ns_id);
	r = fill_plan(plan, reader, img_dirfd, opts, err);
	if (r < 0)
		return r;
	*ret = take_ptr(plan);
	return 0;
}

void mounts_plan_free(struct mount_plan *plan)
{
	if (!plan)
		return;
	mounts_free(plan->tree);
	free(plan->ptys);
	free(plan);
}

const struct mount_tree *mounts_plan_tree(const struct mount_plan *plan)
{
	return plan->tree;
}

const struct mount_pty *mounts_plan_ptys(const struct mount_plan *plan, size_t *ret_n)
{
	*ret_n = plan->n_ptys;
	return plan->ptys;
}
