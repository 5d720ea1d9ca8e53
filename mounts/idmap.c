// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owner ids seen from inside of a user namespace. */
#include "mounts/mounts-priv.h"

#include <inttypes.h>

#include "engine/base/io.h"

enum { OVERFLOW_ID = 65534 };

int idmap_parse(const char *text, struct idmap *ret)
{
	while (*text) {
		struct idmap_range r, *n;
		int len = 0;

		if (sscanf(text, " %" SCNu32 " %" SCNu32 " %" SCNu32 "%n", &r.inside, &r.outside,
			   &r.count, &len) != 3)
			return -EBADMSG;
		n = vec_add(&ret->ranges);
		if (!n)
			return -ENOMEM;
		*n = r;
		for (text += len; *text == '\n' || *text == ' ';)
			text++;
	}
	return 0;
}

int idmap_read(int procfd, const char *name, struct idmap *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(procfd, name, &b);

	if (r < 0)
		return r;
	return idmap_parse(b.data, ret);
}

uint32_t idmap_to_inside(const struct idmap *map, uint32_t outside)
{
	struct idmap_range *r;

	if (!map->ranges.n)
		return outside;
	vec_foreach (r, &map->ranges)
		if (outside >= r->outside && outside - r->outside < r->count)
			return r->inside + (outside - r->outside);
	return OVERFLOW_ID;
}
