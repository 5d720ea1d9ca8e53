// SPDX-License-Identifier: LGPL-2.1-or-later
/* The words of mountinfo, and the numbers that the kernel and the images have for them. */
#include "mounts/mounts-priv.h"

#include <ctype.h>
#include <string.h>

struct word {
	const char *name;
	unsigned int flag;
};

static const struct word mount_words[] = {
	{ "rw", 0 },
	{ "ro", MS_RDONLY },
	{ "nosuid", MS_NOSUID },
	{ "nodev", MS_NODEV },
	{ "noexec", MS_NOEXEC },
	{ "noatime", MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME },
	{ "relatime", MS_RELATIME },
	{ "nosymfollow", MS_NOSYMFOLLOW },
	{ NULL, 0 },
};

static const struct word sb_words[] = {
	{ "rw", 0 }, { "ro", MS_RDONLY }, { "sync", MS_SYNCHRONOUS }, { "dirsync", MS_DIRSYNC },
	{ NULL, 0 },
};

static const struct word *find_word(const struct word *table, const char *s, size_t len)
{
	for (; table->name; table++)
		if (strlen(table->name) == len && !strncmp(table->name, s, len))
			return table;
	return NULL;
}

int options_parse_mount(const char *words, unsigned int *ret_flags, char **ret_unknown)
{
	unsigned int flags = 0;
	char *unknown = NULL;

	for (const char *p = words; *p; p += *p == ',') {
		size_t n = strcspn(p, ",");
		const struct word *w = find_word(mount_words, p, n);

		if (w) {
			flags |= w->flag;
		} else if (!unknown) {
			unknown = strndup(p, n);
			if (!unknown)
				return -ENOMEM;
		}
		p += n;
	}
	/* Without a word for it the times are strict; saying nothing to mount(2) would mean
	 * relatime. */
	if (!(flags & (MS_RELATIME | MS_NOATIME)))
		flags |= MS_STRICTATIME;
	*ret_flags = flags;
	*ret_unknown = unknown;
	return 0;
}

/*
 * The end of the option at p. A comma inside quotes (SELinux contexts) or before a digit (the node
 * list of tmpfs's mpol=) belongs to the value.
 */
static size_t option_len(const char *p)
{
	bool quoted = false;
	size_t n = 0;

	for (; p[n]; n++) {
		if (p[n] == '"')
			quoted = !quoted;
		if (p[n] == ',' && !quoted && !isdigit((unsigned char)p[n + 1]))
			break;
	}
	return n;
}

int options_parse_sb(const char *words, unsigned int *ret_flags, char **ret_rest)
{
	cleanup_buf struct buf rest = BUF_INIT;
	unsigned int flags = 0;

	if (buf_reserve(&rest, 1) < 0)
		return -ENOMEM;
	for (const char *p = words; *p; p += *p == ',') {
		size_t n = option_len(p);
		const struct word *w = find_word(sb_words, p, n);

		if (w)
			flags |= w->flag;
		else if (n && ((rest.len && buf_append(&rest, ",", 1) < 0) ||
			       buf_append(&rest, p, n) < 0))
			return -ENOMEM;
		p += n;
	}
	rest.data[rest.len] = '\0';
	*ret_flags = flags;
	*ret_rest = take_ptr(rest.data);
	return 0;
}

int options_parse_optional(const char *words, struct mount *m)
{
	for (const char *p = words; p && *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (!strncmp(p, "shared:", 7)) {
			m->shared = (int)strtoul(p + 7, NULL, 10);
			m->flags |= MS_SHARED;
		} else if (!strncmp(p, "master:", 7)) {
			m->master = (int)strtoul(p + 7, NULL, 10);
			m->flags |= MS_SLAVE;
		} else if (n == 10 && !strncmp(p, "unbindable", n)) {
			m->flags |= MS_UNBINDABLE;
		} else if (strncmp(p, "propagate_from:", 15) && !m->unknown) {
			m->unknown = strndup(p, n);
			if (!m->unknown)
				return -ENOMEM;
		}
		p += n;
	}
	return 0;
}

uint64_t options_attrs(unsigned int flags)
{
	uint64_t attrs = 0;

	attrs |= flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0;
	attrs |= flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0;
	attrs |= flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0;
	attrs |= flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0;
	attrs |= flags & MS_NODIRATIME ? MOUNT_ATTR_NODIRATIME : 0;
	attrs |= flags & MS_NOSYMFOLLOW ? MOUNT_ATTR_NOSYMFOLLOW : 0;
	if (flags & MS_NOATIME)
		attrs |= MOUNT_ATTR_NOATIME;
	else if (flags & MS_STRICTATIME)
		attrs |= MOUNT_ATTR_STRICTATIME;
	return attrs;
}

int options_next(const char **pos, struct buf *key, struct buf *val, bool *ret_has_val)
{
	const char *p = *pos + (**pos == ',');
	size_t n = option_len(p), k;

	if (!n)
		return 0;
	k = strcspn(p, "=");
	*pos = p + n;
	if (k > n)
		k = n;
	*ret_has_val = k < n;
	buf_done(key);
	buf_done(val);
	if (buf_append(key, p, k) < 0)
		return -ENOMEM;
	if (k == n)
		return 1;
	p += k + 1;
	n -= k + 1;
	if (n >= 2 && p[0] == '"' && p[n - 1] == '"') {
		p++;
		n -= 2;
	}
	return buf_append(val, p, n) < 0 ? -ENOMEM : 1;
}

char *options_set_context(const char *options, const char *label)
{
	cleanup_buf struct buf out = BUF_INIT;

	if (buf_reserve(&out, 1) < 0)
		return NULL;
	out.data[0] = '\0';
	for (const char *p = options; *p; p += *p == ',') {
		size_t n = option_len(p);

		if (out.len && buf_append(&out, ",", 1) < 0)
			return NULL;
		if (!strncmp(p, "context=", 8)) {
			if (buf_printf(&out, "context=\"%s\"", label) < 0)
				return NULL;
		} else if (buf_append(&out, p, n) < 0) {
			return NULL;
		}
		p += n;
	}
	return take_ptr(out.data);
}
