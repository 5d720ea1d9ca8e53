/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt cpuinfo dump, ckpt cpuinfo check */
#include "runtime/cmd.h"

#include <string.h>

int cmd_cpuinfo(struct cli *cli, struct err *err)
{
	const char *word = cli->rest.words.n > 1 ? cli->rest.words.v[1] : "";

	if (strcmp(word, "dump") == 0)
		return ckpt_cpuinfo_dump(&cli->ckpt, err);
	if (strcmp(word, "check") == 0)
		return ckpt_cpuinfo_check(&cli->ckpt, err);
	return err_usage(err, "cpuinfo: expected 'dump' or 'check', found '%s'", word);
}
