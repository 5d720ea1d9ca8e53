/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration file: every line is taken or is an error that names file and line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/options.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct cli cli;
	char *text;
	int r;

	/* "close" acts at once, on descriptors of whoever runs this */
	if (memmem(data, size, "cl", 2))
		return 0;
	text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	cli_init(&cli);
	r = opt_parse_config(&cli_options, &cli, "x.conf", text, &cli.config_rest, &err);
	cli_settle(&cli);
	assert(r <= 0);
	assert(r == 0 || (strstr(err.text, "x.conf") && strstr(err.text, "line ")));
	/* what only a command line may say */
	assert(!cli.help && !cli.version && !cli.config_file && !cli.no_default_config);
	assert(cli.ckpt.log_level >= 0 && cli.ckpt.log_level <= LOG_DEBUG);
	cli_done(&cli);
	free(text);
	return 0;
}
