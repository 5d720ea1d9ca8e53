/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/mountinfo, and the hierarchies of cgroups in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/io.h"
#include "runtime/hostview.h"

/* Blanks and backslashes are written as three octal digits. */
static void decode(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
		    text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER" */
static int parse_line(char *line, struct hv_mount *ret)
{
	char *word[6], *type, *source;

	for (int i = 0; i < 6; i++) {
		word[i] = strsep(&line, " ");
		if (!word[i] || !line)
			return -EINVAL;
	}
	do
		type = strsep(&line, " ");
	while (type && strcmp(type, "-") != 0);
	type = line ? strsep(&line, " ") : NULL;
	source = line ? strsep(&line, " ") : NULL;
	if (!type || !source || !line)
		return -EINVAL;
	decode(word[3]);
	decode(word[4]);
	ret->id = atoi(word[0]);
	ret->root = word[3];
	ret->mountpoint = word[4];
	ret->fstype = type;
	ret->super = line;
	return 0;
}

int hv_mounts_parse(struct arena *a, char *text, struct hv_mounts *ret)
{
	char *copy = arena_strdup(a, text), *line;
	struct hv_mount *m;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&copy, "\n"))) {
		if (!*line)
			continue;
		m = vec_add(ret);
		if (!m)
			return -ENOMEM;
		if (parse_line(line, m) < 0)
			return -EINVAL;
	}
	return 0;
}

/* The words of a v1 hierarchy in its mount's own options: "rw,cpu,cpuacct", "rw,name=systemd". */
static const char *controllers_of(struct arena *a, const char *super)
{
	static const char *const no[] = {
		"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods"
	};
	char *out = arena_alloc(a, strlen(super) + 1);
	size_t n = 0;

	while (out && *super) {
		size_t len = strcspn(super, ",");
		bool skip = strncmp(super, "release_agent=", 14) == 0;

		for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
			skip |= strlen(no[i]) == len && memcmp(no[i], super, len) == 0;
		if (!skip) {
			if (n)
				out[n++] = ',';
			memcpy(out + n, super, len);
			n += len;
		}
		super += len;
		super += *super == ',';
	}
	return out;
}

static bool known(const struct hostview *view, const char *controllers)
{
	for (size_t i = 0; i < view->hierarchies.n; i++)
		if (strcmp(view->hierarchies.v[i].controllers, controllers) == 0)
			return true;
	return false;
}

/* Each hierarchy once, at its first whole mount below /sys/fs/cgroup. */
static int add_hierarchy(struct hostview *view, const struct hv_mount *m)
{
	bool unified = strcmp(m->fstype, "cgroup2") == 0;
	const char *controllers = unified ? "" : controllers_of(&view->arena, m->super);
	struct oci_hierarchy *h;

	if (!controllers)
		return -ENOMEM;
	if (strcmp(m->root, "/") != 0 || known(view, controllers) ||
	    strncmp(m->mountpoint, "/sys/fs/cgroup", 14) != 0)
		return 0;
	h = vec_add(&view->hierarchies);
	if (!h)
		return -ENOMEM;
	h->controllers = controllers;
	h->mountpoint = m->mountpoint;
	return 0;
}

int hostview_hierarchies(struct hostview *view, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	const struct oci_hierarchy *unified;
	struct hv_mount *m;
	int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", &text);

	if (r == 0)
		r = hv_mounts_parse(&view->arena, text.data ?: (char[]){ "" }, &view->host);
	vec_foreach (m, &view->host)
		if (r == 0 &&
		    (strcmp(m->fstype, "cgroup") == 0 || strcmp(m->fstype, "cgroup2") == 0))
			r = add_hierarchy(view, m);
	if (r < 0)
		return err_sys(err, r, "reading '/proc/self/mountinfo'");
	unified = hostview_hierarchy(view, "");
	if (!unified)
		view->facts.cgroup_layout = OCI_CGROUP_V1;
	else
		view->facts.cgroup_layout = view->hierarchies.n > 1 ? OCI_CGROUP_HYBRID
								    : OCI_CGROUP_V2;
	view->facts.hierarchies.v = view->hierarchies.v;
	view->facts.hierarchies.n = view->hierarchies.n;
	return 0;
}

const struct oci_hierarchy *hostview_hierarchy(const struct hostview *view, const char *controller)
{
	size_t len = strlen(controller);

	for (size_t i = 0; i < view->hierarchies.n; i++) {
		const char *p = view->hierarchies.v[i].controllers;

		if (!len) {
			if (!*p)
				return &view->hierarchies.v[i];
			continue;
		}
		while (*p) {
			size_t n = strcspn(p, ",");

			if (n == len && memcmp(p, controller, n) == 0)
				return &view->hierarchies.v[i];
			p += n;
			p += *p == ',';
		}
	}
	return NULL;
}
