// SPDX-License-Identifier: LGPL-2.1-or-later
/* External mounts: those that the user names, and those found by comparing with the host's mounts.
 */
#include "mounts/mounts-priv.h"

#include <string.h>

/* The value behind "TYPE[ID]:" if the text has that type and id, else NULL. */
static const char *match_external(const char *text, const char *type, const char *id, bool is_path)
{
	size_t len = strlen(type), id_len;
	const char *end;
	cleanup_free char *given = NULL;

	if (strncmp(text, type, len) || text[len] != '[')
		return NULL;
	text += len + 1;
	end = strstr(text, "]:");
	if (!end)
		return NULL;
	id_len = (size_t)(end - text);
	given = strndup(text, id_len);
	if (!given || (is_path && id_len ? !path_equal(given, id) : strcmp(given, id) != 0))
		return NULL;
	return end + 2;
}

static const char *lookup(const struct ckpt_options *opts, const char *type, const char *id)
{
	for (size_t i = 0; i < opts->externals.n; i++) {
		const char *v = match_external(opts->externals.v[i], type, id, id[0] == '/');

		if (v && *v)
			return v;
	}
	return NULL;
}

const char *external_lookup(const struct ckpt_options *opts, const char *name)
{
	if (!*name)
		return NULL;
	for (size_t i = 0; i < opts->ext_mounts.n; i++) {
		const struct ckpt_pair *p = &opts->ext_mounts.v[i];
		bool same = name[0] == '/' ? path_equal(p->key, name) : !strcmp(p->key, name);

		if (same && p->val && *p->val)
			return p->val;
	}
	return lookup(opts, "mnt", name);
}

const char *external_device(const struct ckpt_options *opts, const char *id)
{
	return lookup(opts, "dev", id);
}

struct external_auto external_auto(const struct ckpt_options *opts)
{
	struct external_auto how = {
		.on = opts->auto_ext_mounts,
		.masters = opts->ext_masters,
		.sharing = opts->ext_sharing,
	};

	for (size_t i = 0; i < opts->externals.n; i++) {
		const char *text = opts->externals.v[i];

		if (strncmp(text, "mnt[]", 5) || (text[5] && text[5] != ':'))
			continue;
		how.on = true;
		for (const char *p = text + 5; *p; p++) {
			how.masters |= *p == 'm';
			how.sharing |= *p == 's';
		}
	}
	return how;
}

/*
 * The host's mount of the same superblock that m can be bound from: its root is above m's. If
 * several are, the one of m's own peer group, or of its master's, is the one it came from; else the
 * last.
 */
static const struct mount *best_match(const struct mount *m, const struct mount_tree *host)
{
	const struct mount *it, *best = NULL;

	vec_foreach (it, &host->mounts) {
		if (it->sdev != m->sdev || strcmp(it->options, m->options) || it->deleted ||
		    !path_below(m->root, it->root))
			continue;
		best = it;
		if ((m->shared && m->shared == it->shared) ||
		    (m->master && m->master == it->shared))
			break;
	}
	return best;
}

int external_match(struct mount *m, const struct mount_tree *host, struct external_auto how)
{
	const struct mount *match = best_match(m, host);
	const char *below;
	char *path;

	if (!match || (m->shared && !how.sharing))
		return 0;
	if (m->master &&
	    (!how.masters || (m->master != match->shared && m->master != match->master)))
		return 0;
	below = path_below(m->root, match->root);
	if (asprintf(&path, "%s%s%s", match->path, *below && match->path[1] ? "/" : "", below) < 0)
		return -ENOMEM;
	free(m->source);
	m->source = path; /* where CRIU's images have the host's path of such a mount */
	m->source_is_host = true;
	m->internal_sharing = m->shared && m->shared != match->shared;
	m->ext_key = strdup(KEY_AUTO);
	if (!m->ext_key)
		return -ENOMEM;
	m->how = HOW_EXTERNAL;
	return 0;
}
