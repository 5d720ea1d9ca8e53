/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of image files: the input is a whole file, opened as every type in turn; the magic lets
 * one of them through.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/image/image.h"
#include "proto/cgroup.pb-c.h"
#include "proto/core.pb-c.h"
#include "proto/files.pb-c.h"
#include "proto/inet.pb-c.h"
#include "proto/inventory.pb-c.h"
#include "proto/memory.pb-c.h"
#include "proto/mounts.pb-c.h"
#include "proto/namespaces.pb-c.h"
#include "proto/paths.pb-c.h"
#include "proto/pipes.pb-c.h"
#include "proto/security.pb-c.h"
#include "proto/sockets.pb-c.h"
#include "proto/stats.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/tty.pb-c.h"
#include "tests/fuzz/fuzz.h"

static size_t pipe_bytes(const void *msg)
{
	return ((const PipeDataEntry *)msg)->bytes;
}

static size_t packet_bytes(const void *msg)
{
	return ((const SkPacketEntry *)msg)->length;
}

static size_t tcp_bytes(const void *msg)
{
	const TcpStreamEntry *e = msg;

	return (size_t)e->inq_len + e->outq_len;
}

/* head is the first record where it differs from the others; payload is what follows a record raw.
 */
static const struct {
	enum image_type type;
	const ProtobufCMessageDescriptor *head, *rest;
	size_t (*payload)(const void *msg);
} kinds[] = {
	{ IMG_INVENTORY, NULL, &inventory_entry__descriptor },
	{ IMG_PSTREE, NULL, &pstree_entry__descriptor },
	{ IMG_CORE, NULL, &core_entry__descriptor },
	{ IMG_IDS, NULL, &task_kobj_ids_entry__descriptor },
	{ IMG_MM, NULL, &mm_entry__descriptor },
	{ IMG_FS, NULL, &fs_entry__descriptor },
	{ IMG_FDINFO, NULL, &fdinfo_entry__descriptor },
	{ IMG_FILES, NULL, &file_entry__descriptor },
	{ IMG_PAGEMAP, &pagemap_head__descriptor, &pagemap_entry__descriptor },
	{ IMG_TTY_INFO, NULL, &tty_info_entry__descriptor },
	{ IMG_REMAP_FPATH, NULL, &remap_file_path_entry__descriptor },
	{ IMG_GHOST_FILE, &ghost_file_entry__descriptor, &ghost_chunk_entry__descriptor },
	{ IMG_SK_QUEUES, NULL, &sk_packet_entry__descriptor, packet_bytes },
	{ IMG_PIPES_DATA, NULL, &pipe_data_entry__descriptor, pipe_bytes },
	{ IMG_TCP_STREAM, NULL, &tcp_stream_entry__descriptor, tcp_bytes },
	{ IMG_FILE_LOCKS, NULL, &file_lock_entry__descriptor },
	{ IMG_CGROUP, NULL, &cgroup_entry__descriptor },
	{ IMG_SECCOMP, NULL, &seccomp_entry__descriptor },
	{ IMG_UTSNS, NULL, &utsns_entry__descriptor },
	{ IMG_USERNS, NULL, &userns_entry__descriptor },
	{ IMG_MNTS, NULL, &mnt_entry__descriptor },
	{ IMG_CPUINFO, NULL, &cpuinfo_entry__descriptor },
	{ IMG_STATS, NULL, &stats_entry__descriptor },
	{ IMG_PAGES, NULL, NULL },
};

/* Reads to the end of the file or to the first error, which must tell its story. */
static void read_records(struct image_reader *r, size_t kind, struct err *err)
{
	const ProtobufCMessageDescriptor *desc = kinds[kind].head ?: kinds[kind].rest;
	size_t left = image_left(r);

	for (;;) {
		cleanup_msg ProtobufCMessage *msg = NULL;
		const void *raw;
		int n = image_next(r, desc, &msg, err);

		if (n > 0 && kinds[kind].payload)
			n = image_next_raw(r, kinds[kind].payload(msg), &raw, err) < 0 ? -EBADMSG
										       : n;
		assert(n >= 0 || (err->class == ERR_IMAGE && err->text[0]));
		if (n <= 0)
			return;
		assert(image_left(r) < left);
		left = image_left(r);
		desc = kinds[kind].rest;
	}
}

static void read_as(const char *path, size_t kind, size_t size)
{
	cleanup_reader struct image_reader *r = NULL;
	struct err err = ERR_INIT;
	const void *raw;
	int n = image_open(AT_FDCWD, kinds[kind].type, &r, &err, "%s", path);

	if (n < 0) {
		assert(err.class == ERR_IMAGE && err.text[0]);
		return;
	}
	assert(n == 0);
	if (kinds[kind].rest) {
		read_records(r, kind, &err);
		return;
	}
	assert(image_left(r) == size);
	assert(image_next_raw(r, size + 1, &raw, &err) < 0);
	assert(image_next_raw(r, size, &raw, &err) == 0);
	assert(image_left(r) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_fd int fd = memfd_create("image", MFD_CLOEXEC);
	char path[64];

	if (fd < 0 || io_write_all(fd, data, size) < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		read_as(path, i, size);
	return 0;
}
