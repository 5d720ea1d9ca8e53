/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memberships of a task, and the cgroup lines of mountinfo. Text in, structs out: nothing here
 * opens a file.
 */
#include "cgroups/cgroups-priv.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel puts behind the path of a group that was removed. */
static const char deleted_mark[] = " (deleted)";

static int copy_text(const char *text, size_t len, char **ret)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (memchr(copy, '\0', len)) {
		free(copy);
		return -EINVAL;
	}
	*ret = copy;
	return 0;
}

/* Cuts the next line out of *text, or gives NULL at the end. */
static char *next_line(char **text)
{
	char *line = *text, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end++ = '\0';
	*text = end;
	return line;
}

/* The id is 0 for cgroup2 and only for it; a path that does not start at the root is no path. */
static int member_of_line(const struct proc_cgroup *line, struct cg_member *m)
{
	size_t mark = sizeof(deleted_mark) - 1, len = strlen(line->path);

	if (line->path[0] != '/' || !line->id != !line->controllers[0] || line->id > INT_MAX)
		return -EINVAL;
	m->hier_id = (int)line->id;
	m->name = line->controllers;
	m->path = line->path;
	if (len > mark && !strcmp(m->path + len - mark, deleted_mark)) {
		m->path[len - mark] = '\0';
		m->deleted = true;
	}
	return 0;
}

int cg_members_parse(const char *text, size_t len, struct cg_members *ret)
{
	cleanup_members struct cg_members m = { 0 };
	struct proc_cgroup *line;
	int r = proc_cgroups_parse(text, len, &m.raw);

	if (r < 0)
		return r;
	vec_foreach (line, &m.raw) {
		struct cg_member *one = vec_add(&m.list);

		if (!one)
			return -ENOMEM;
		r = member_of_line(line, one);
		if (r < 0)
			return r;
	}
	*ret = m;
	memset(&m, 0, sizeof(m));
	return 0;
}

void cg_members_done(struct cg_members *m)
{
	vec_free(&m->list);
	proc_cgroups_done(&m->raw);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool parse_dev(const char *s, unsigned int *major, unsigned int *minor)
{
	char *end;

	errno = 0;
	*major = (unsigned int)strtoul(s, &end, 10);
	if (errno || end == s || *end != ':')
		return false;
	s = end + 1;
	*minor = (unsigned int)strtoul(s, &end, 10);
	return !errno && end != s && !*end;
}

/*
 * id parent major:minor root mountpoint options optional... - type source superoptions. Gives 1 for
 * a cgroup mount, 0 for another one.
 */
static int mount_parse(char *line, struct cg_mount *m)
{
	char *field[6], *save = NULL, *word, *type, *super;

	for (int i = 0; i < 6; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return -EINVAL;
	}
	do {
		word = strtok_r(NULL, " ", &save);
	} while (word && strcmp(word, "-"));
	type = word ? strtok_r(NULL, " ", &save) : NULL;
	if (!type)
		return -EINVAL;
	if (strcmp(type, "cgroup") && strcmp(type, "cgroup2"))
		return 0;
	/* The source may be empty, which the kernel prints as nothing between two spaces. */
	super = save ? strrchr(save, ' ') : NULL;
	super = super ? super + 1 : save;
	if (!super || !*super || !parse_dev(field[2], &m->major, &m->minor))
		return -EINVAL;
	m->unified = type[6] == '2';
	unescape(field[3]);
	unescape(field[4]);
	m->root = field[3];
	m->mountpoint = field[4];
	m->options = super;
	m->writable = cg_list_has(field[5], "rw", 2) && cg_list_has(super, "rw", 2);
	return 1;
}

int cg_mounts_parse(const char *text, size_t len, struct cg_mounts *ret)
{
	cleanup_mounts struct cg_mounts m = { 0 };
	char *rest, *line;
	int r;

	r = copy_text(text, len, &m.text);
	if (r < 0)
		return r;
	for (rest = m.text; (line = next_line(&rest));) {
		struct cg_mount one = { 0 }, *slot;

		r = mount_parse(line, &one);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		slot = vec_add(&m.list);
		if (!slot)
			return -ENOMEM;
		*slot = one;
	}
	*ret = m;
	memset(&m, 0, sizeof(m));
	return 0;
}

void cg_mounts_done(struct cg_mounts *m)
{
	vec_free(&m->list);
	free(m->text);
	m->text = NULL;
}

const char *cg_list_next(const char **list, size_t *ret_len)
{
	const char *word = *list;
	size_t len;

	if (!word)
		return NULL;
	len = strcspn(word, ",");
	*list = word[len] ? word + len + 1 : NULL;
	*ret_len = len;
	return word;
}

bool cg_list_has(const char *list, const char *word, size_t word_len)
{
	const char *w;
	size_t len;

	while ((w = cg_list_next(&list, &len)))
		if (len == word_len && !memcmp(w, word, len))
			return true;
	return false;
}

bool cg_mount_is_hier(const struct cg_mount *m, const char *hier_name)
{
	const char *list = hier_name, *w;
	size_t len;

	if (m->unified || !hier_name[0])
		return m->unified && !hier_name[0];
	/* A controller is in one hierarchy only, so a single common word would do; all are asked.
	 */
	while ((w = cg_list_next(&list, &len)))
		if (!cg_list_has(m->options, w, len))
			return false;
	return true;
}
