/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `show` takes any file at all: the input is an image, shown as text, as JSON, and in parts. */
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

static void show(const char *path, const char *fields, bool json)
{
	struct ckpt_show_options opts = { .fields = fields, .json = json };
	cleanup_free char *text = NULL;
	struct err err = ERR_INIT;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return;
	r = ckpt_show(path, &opts, out, &err);
	fclose(out);
	assert(r == 0 || err.text[0]);
	/* what goes to a terminal has nothing in it that a terminal acts on */
	for (size_t i = 0; i < len; i++)
		assert((unsigned char)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_fd int fd = memfd_create("image", MFD_CLOEXEC);
	char path[64];

	if (fd < 0 || io_write_all(fd, data, size) < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	show(path, NULL, false);
	show(path, NULL, true);
	show(path, "pid,vmas.start,reg,qnum", false);
	return 0;
}
