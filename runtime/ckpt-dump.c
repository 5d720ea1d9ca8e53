/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt dump */
#include "runtime/cmd.h"
#include "runtime/stages.h"

int cmd_dump(struct cli *cli, struct err *err)
{
	struct ckpt_result result = { 0 };
	struct stages stages = { 0 };
	int r;

	if (cli->ckpt.pid <= 0) {
		r = err_usage(err, "dump: it is not said which tree to dump");
		err_hint(err, "give the pid of its root task: -t PID");
		return r;
	}
	if (cli->inherit_fds.n)
		return err_usage(err, "dump: --inherit-fd is an option of restore");
	if (cli->ckpt.leave_running && cli->ckpt.leave_stopped)
		return err_usage(err,
				 "dump: --leave-running and --leave-stopped exclude each other");
	r = stages_init(&stages, cli, err);
	if (r == 0)
		r = ckpt_dump(&cli->ckpt, &result, err);
	return r;
}
