/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt show */
#include "runtime/cmd.h"

int cmd_show(struct cli *cli, struct err *err)
{
	const struct ckpt_show_options opts = { .fields = cli->show_fields,
						.json = cli->show_json };
	char **words = cli->rest.words.v + 1;
	size_t n = cli->rest.words.n - 1;
	const char **it;
	int r = 0;

	if (!n && !cli->show_files.n) {
		r = err_usage(err, "show: it is not said which image");
		err_hint(err, "name its file: show core-1.img");
		return r;
	}
	vec_foreach (it, &cli->show_files)
		if (r == 0)
			r = ckpt_show(*it, &opts, stdout, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = ckpt_show(words[i], &opts, stdout, err);
	return r;
}
