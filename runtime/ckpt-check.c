/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt check */
#include "runtime/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct features {
	struct ckpt_feature *v;
	size_t n;
};

static void list_features(const struct features *f)
{
	for (size_t i = 0; i < f->n; i++)
		printf("%s%s", i ? " " : "", f->v[i].name);
	putchar('\n');
}

static void tell_missing(const struct ckpt_feature *f)
{
	fprintf(stderr, "missing: %s: %s%s%s%s\n", f->name, f->lost ?: "it is not there",
		f->code ? " (" : "", f->code ? strerrordesc_np(-f->code) ?: "unknown error" : "",
		f->code ? ")" : "");
}

/* The exit status alone is the answer that programs look at. */
static int ask(const struct features *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].name, name) != 0)
			continue;
		if (!f->v[i].present)
			tell_missing(&f->v[i]);
		return f->v[i].present ? 0 : 1;
	}
	fprintf(stderr, "no such feature: '%s' ('--feature list' shows the names)\n", name);
	return 1;
}

static int check_all(const struct features *f, bool optional)
{
	int status = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].present || (!f->v[i].required && !optional))
			continue;
		tell_missing(&f->v[i]);
		if (f->v[i].required)
			status = 1;
	}
	if (status == 0)
		puts("Looks good.");
	return status;
}

int cmd_check(struct cli *cli, struct err *err)
{
	struct features f;
	int r = ckpt_check(&f.v, &f.n, err), status = 0;
	const char **it;

	if (r < 0)
		return r;
	vec_foreach (it, &cli->features) {
		if (strcmp(*it, "list") == 0)
			list_features(&f);
		else
			status |= ask(&f, *it);
	}
	if (!cli->features.n)
		status = check_all(&f, cli->check_extra || cli->check_experimental);
	free(f.v);
	return status;
}
