/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt restore */
#include "runtime/cmd.h"
#include "runtime/stages.h"

static int check_options(const struct cli *cli, struct err *err)
{
	const struct ckpt_options *o = &cli->ckpt;

	if (cli->exec_cmd && !cli->rest.n_command) {
		int r = err_usage(err, "restore: --exec-cmd needs a command");

		err_hint(err, "put it at the end, behind '--'");
		return r;
	}
	if (cli->exec_cmd && o->restore_detached)
		return err_usage(err,
				 "restore: --exec-cmd and --restore-detached exclude each other");
	if (o->restore_sibling && !o->restore_detached)
		return err_usage(err,
				 "restore: --restore-sibling works with --restore-detached only: "
				 "the root task is not our child, and we cannot wait for it");
	return 0;
}

/*
 * Not detached, it ends when the root task has ended. The exit status is that of the restore, not
 * the task's: scripts take anything but zero for a failed restore.
 */
int cmd_restore(struct cli *cli, struct err *err)
{
	struct ckpt_result result = { 0 };
	struct stages stages = { 0 };
	int r = check_options(cli, err);

	if (r == 0)
		r = stages_init(&stages, cli, err);
	if (r == 0)
		r = ckpt_restore(&cli->ckpt, &result, err);
	return r == 0 && cli->ckpt.exec_cmd.n ? become_command(&cli->ckpt, err) : r;
}
