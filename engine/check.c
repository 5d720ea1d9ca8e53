/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel has of what the engine needs, as a list for `check`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/kernel/features.h"

static struct ckpt_feature probe(const struct kernel_feature *f)
{
	int code = kernel_feature_probe(f);

	return (struct ckpt_feature){ .name = f->name,
				      .present = code == 0,
				      .required = f->required,
				      .lost = f->lost,
				      .code = code };
}

int ckpt_check_one(const char *name, struct ckpt_feature *ret, struct err *err)
{
	for (size_t i = 0; kernel_features[i].name; i++) {
		if (strcmp(kernel_features[i].name, name) != 0)
			continue;
		*ret = probe(&kernel_features[i]);
		return 0;
	}
	return err_new(err, ERR_USAGE, -ENOENT, "no such feature: '%s'", name);
}

int ckpt_check(struct ckpt_feature **ret, size_t *ret_n, struct err *err)
{
	struct ckpt_feature *list;
	size_t n = 0, i;

	while (kernel_features[n].name)
		n++;
	list = calloc(n, sizeof(*list));
	if (!list)
		return err_nomem(err);
	for (i = 0; i < n; i++)
		list[i] = probe(&kernel_features[i]);
	*ret = list;
	*ret_n = n;
	return 0;
}
