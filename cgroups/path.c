/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths of groups, and which one the user gave for a hierarchy. */
#include "cgroups/cgroups-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/engine.h"

bool cg_path_is_clean(const char *path)
{
	if (path[0] != '/' || strlen(path) >= PATH_MAX)
		return false;
	if (!path[1])
		return true;
	while (*path) {
		size_t len = strcspn(++path, "/");

		if (!len || len > NAME_MAX || (len == 1 && path[0] == '.') ||
		    (len == 2 && !memcmp(path, "..", 2)) || memchr(path, '\n', len))
			return false;
		path += len;
	}
	return true;
}

bool cg_path_is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1)
		return true;
	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

char *cg_path_join(struct arena *a, const char *dir, const char *rest)
{
	while (*rest == '/')
		rest++;
	if (!*rest)
		return arena_strdup(a, dir);
	return arena_printf(a, "%s/%s", dir[1] ? dir : "", rest);
}

char *cg_path_common(struct arena *a, const char *x, const char *y)
{
	size_t same = 0;
	char *copy;

	/* The longest prefix that ends at the end of a component of both. */
	for (size_t i = 1;; i++) {
		bool x_end = !x[i] || x[i] == '/', y_end = !y[i] || y[i] == '/';

		if (x_end && y_end)
			same = i;
		if (!x[i] || x[i] != y[i])
			break;
	}
	if (same <= 1)
		return arena_strdup(a, "/");
	copy = arena_strdup(a, x);
	if (copy)
		copy[same] = '\0';
	return copy;
}

char *cg_path_move(struct arena *a, const char *path, const char *old, const char *new)
{
	return cg_path_join(a, new, path + (old[1] ? strlen(old) : 0));
}

char *cg_path_normalize(struct arena *a, const char *path)
{
	char *copy = arena_strdup(a, path), *out = copy;

	if (!copy) {
		errno = ENOMEM;
		return NULL;
	}
	for (const char *p = copy; *p; p++)
		if (p[0] != '/' || p[1] != '/')
			*out++ = *p;
	*out = '\0';
	if (out > copy + 1 && out[-1] == '/')
		out[-1] = '\0';
	if (cg_path_is_clean(copy))
		return copy;
	errno = EINVAL;
	return NULL;
}

int cg_open(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	while (*path == '/')
		path++;
	fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

/* Whether a list names a controller of the hierarchy; for cgroup2: nothing that v1 has. */
static bool key_names_hier(const char *key, const struct cg_layout *l, const char *hier_name)
{
	const char *w;
	size_t len;

	while ((w = cg_list_next(&key, &len))) {
		if (hier_name[0] && cg_list_has(hier_name, w, len))
			return true;
		if (!hier_name[0] && (len < 5 || memcmp(w, "name=", 5))) {
			const struct cg_hier *h = cg_layout_find(l, w, len);

			if (!h || h->unified)
				return true;
		}
	}
	return false;
}

const char *cg_root_for(const struct ckpt_pairs *roots, const struct cg_layout *l,
			const char *hier_name)
{
	const char *all = NULL;

	for (size_t i = 0; i < roots->n; i++) {
		const struct ckpt_pair *p = &roots->v[i];

		if (!p->key)
			all = all ? all : p->val;
		else if (p->key[0] ? key_names_hier(p->key, l, hier_name) : !hier_name[0])
			return p->val;
	}
	return all;
}
