/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks a cgroup image that somebody else has written: names and paths that would leave the
 * groups' file system, ids and references that do not fit, and sizes without reason.
 */
#include "cgroups/plan.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 64
#define DIRS_MAX 65536
#define SETS_MAX 65536
#define VALUE_MAX 65536

/* "" is cgroup2, "name=X" a hierarchy without controllers. Words become mount options. */
static bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len > 64)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-=:@", name[i]))
			return false;
	return true;
}

/* The list of a set's member: words as above with commas. */
static bool list_is_valid(const char *list)
{
	const char *w;
	size_t len;

	if (strlen(list) > 128)
		return false;
	for (const char *p = list; (w = cg_list_next(&p, &len));) {
		char word[129];

		memcpy(word, w, len);
		word[len] = '\0';
		if (!name_is_valid(word) || (!len && list[0]))
			return false;
	}
	return true;
}

static const CgControllerEntry *find_controller(const CgroupEntry *e, const char *list)
{
	size_t len = strcspn(list, ",");

	for (size_t i = 0; i < e->n_controllers; i++)
		for (size_t k = 0; k < e->controllers[i]->n_cnames; k++) {
			const char *name = e->controllers[i]->cnames[k];

			if (strlen(name) == len && !memcmp(name, list, len))
				return e->controllers[i];
		}
	return NULL;
}

static int check_member(const CgroupEntry *e, const CgSetEntry *s, size_t k, struct err *err)
{
	const CgMemberEntry *m = s->ctls[k];

	if (!list_is_valid(m->name))
		return err_image(err, "cgroup.img: set %u has a controller with a bad name", s->id);
	if (!cg_path_is_clean(m->path))
		return err_image(err, "cgroup.img: set %u: bad path '%.100s' for '%s'", s->id,
				 m->path, m->name);
	if (m->has_cgns_prefix && m->cgns_prefix &&
	    (m->cgns_prefix > strlen(m->path) ||
	     (m->path[m->cgns_prefix] && m->path[m->cgns_prefix] != '/')))
		return err_image(err, "cgroup.img: set %u: namespace prefix %u does not fit '%s'",
				 s->id, m->cgns_prefix, m->path);
	for (size_t i = 0; i < k; i++)
		if (!strcmp(s->ctls[i]->name, m->name))
			return err_image(err, "cgroup.img: set %u names '%s' twice", s->id,
					 m->name);
	if (!find_controller(e, m->name))
		return err_image(err, "cgroup.img: set %u: nothing is said about hierarchy '%s'",
				 s->id, m->name);
	return 0;
}

static int check_sets(const CgroupEntry *e, struct err *err)
{
	if (e->n_sets > SETS_MAX)
		return err_image(err, "cgroup.img: %zu sets are too many", e->n_sets);
	for (size_t i = 0; i < e->n_sets; i++) {
		const CgSetEntry *s = e->sets[i];

		if (!s->id)
			return err_image(err, "cgroup.img: a set has the id 0");
		for (size_t k = 0; k < i; k++)
			if (e->sets[k]->id == s->id)
				return err_image(err, "cgroup.img: two sets have the id %u", s->id);
		for (size_t k = 0; k < s->n_ctls; k++) {
			int r = check_member(e, s, k, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int check_dir(const CgroupDirEntry *d, bool top, int depth, size_t *left, struct err *err)
{
	char path[4096];

	if (!depth || !*left)
		return err_image(err, "cgroup.img: too many directories, or too deep");
	(*left)--;
	if (snprintf(path, sizeof(path), "/%s", d->dir_name) >= (int)sizeof(path) ||
	    !cg_path_is_clean(path) || (!top && !path[1]))
		return err_image(err, "cgroup.img: bad directory name '%.100s'", d->dir_name);
	for (size_t i = 0; i < d->n_properties; i++) {
		const CgroupPropEntry *p = d->properties[i];

		if (!cg_prop_name_is_valid(p->name) || strlen(p->value) > VALUE_MAX)
			return err_image(err, "cgroup.img: directory '%.100s' has a bad property",
					 d->dir_name);
	}
	for (size_t i = 0; i < d->n_children; i++) {
		int r = check_dir(d->children[i], false, depth - 1, left, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_controller(const CgroupEntry *e, size_t k, size_t *left, struct err *err)
{
	const CgControllerEntry *c = e->controllers[k];

	if (!c->n_cnames)
		return err_image(err, "cgroup.img: a hierarchy has no name");
	for (size_t i = 0; i < c->n_cnames; i++) {
		if (!name_is_valid(c->cnames[i]) || (!c->cnames[i][0] && c->n_cnames > 1))
			return err_image(err, "cgroup.img: a hierarchy has a bad name");
		if (find_controller(e, c->cnames[i]) != c)
			return err_image(err, "cgroup.img: hierarchy '%s' is there twice",
					 c->cnames[i]);
	}
	for (size_t i = 0; i < c->n_dirs; i++) {
		int r = check_dir(c->dirs[i], true, DEPTH_MAX, left, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int cg_image_check(const CgroupEntry *e, struct err *err)
{
	size_t left = DIRS_MAX;

	for (size_t i = 0; i < e->n_controllers; i++) {
		int r = check_controller(e, i, &left, err);

		if (r < 0)
			return r;
	}
	return check_sets(e, err);
}
