/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel has of what the engine needs, as a list for `check`. */
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/kernel/features.h"

int ckpt_check(struct ckpt_feature **ret, size_t *ret_n, struct err *err)
{
	struct ckpt_feature *list;
	size_t n = 0, i;

	while (kernel_features[n].name)
		n++;
	list = calloc(n, sizeof(*list));
	if (!list)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		const struct kernel_feature *f = &kernel_features[i];
		int code = kernel_feature_probe(f);

		list[i] = (struct ckpt_feature){ .name = f->name,
						 .present = code == 0,
						 .required = f->required,
						 .lost = f->lost,
						 .code = code };
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
