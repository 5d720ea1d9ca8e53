/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/path.h"

#include <string.h>

#include "oci/types.h"

/* Appends the components of path to out[0..*len), which stays without a final slash. */
static void push(char *out, size_t *len, const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && !memcmp(path, "..", 2)) {
			while (*len && out[--*len] != '/')
				;
		} else if (n && !(n == 1 && path[0] == '.')) {
			out[(*len)++] = '/';
			memcpy(out + *len, path, n);
			*len += n;
		}
		path += n;
		path += *path == '/';
	}
}

char *oci_path_clean(struct arena *a, const char *base, const char *path)
{
	size_t len = 0;
	char *out = oci_array(a, strlen(base) + strlen(path) + 3, 1);

	if (!out)
		return NULL;
	if (path[0] != '/')
		push(out, &len, base);
	push(out, &len, path);
	if (!len)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}

bool oci_path_is_under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (!strcmp(dir, "/"))
		return true;
	return !strncmp(path, dir, n) && (path[n] == '\0' || path[n] == '/');
}
