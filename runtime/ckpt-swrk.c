/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt swrk FD: serves one client, which made the socket and then us. Clients start this as criu.
 */
#include "runtime/cmd.h"
#include "runtime/rpc.h"

#include <limits.h>
#include <stdlib.h>

int cmd_swrk(struct cli *cli, struct err *err)
{
	const char *word = cli->rest.words.n > 1 ? cli->rest.words.v[1] : "";
	char *end;
	long fd = strtol(word, &end, 10);

	if (!*word || *end || fd < 0 || fd > INT_MAX)
		return err_usage(err, "swrk: expected the number of a socket, found '%s'", word);
	return rpc_serve((int)fd, false, cli->no_default_config || cli->config_file);
}
