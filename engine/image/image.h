/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRIU's image files: framing, names and magics (see field table in image.c).
 *
 * Dump: an image set holds every metadata file in memory until the dump is complete; the commit
 * writes them, makes them durable, and writes the inventory last. Page files are streamed
 * (pages.h). Restore: a reader checks the magics and hands out records; every length is checked
 * against the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/base/err.h"

/* Magic numbers are facts of the format. A type with magic 0 is raw: no header at all. */
enum image_type {
	IMG_INVENTORY,
	IMG_PSTREE,
	IMG_CORE,
	IMG_IDS,
	IMG_MM,
	IMG_FS,
	IMG_FDINFO,
	IMG_FILES,
	IMG_PAGEMAP,
	IMG_SHMEM_PAGEMAP,
	IMG_PAGES,
	IMG_TTY_INFO,
	IMG_TTY_DATA,
	IMG_REMAP_FPATH,
	IMG_GHOST_FILE,
	IMG_MEMFD_INODE,
	IMG_SK_QUEUES,
	IMG_PIPES_DATA,
	IMG_FIFO_DATA,
	IMG_TCP_STREAM,
	IMG_FILE_LOCKS,
	IMG_CGROUP,
	IMG_SECCOMP,
	IMG_APPARMOR,
	IMG_UTSNS,
	IMG_IPC_VAR,
	IMG_IPCNS_SHM,
	IMG_IPCNS_MSG,
	IMG_IPCNS_SEM,
	IMG_USERNS,
	IMG_TIMENS,
	IMG_PIDNS,
	IMG_MNTS,
	IMG_NETDEV,
	IMG_NETNS,
	IMG_NET_RAW, /* ifaddr, route, rule, tables: raw */
	IMG_TMPFS,   /* gzip tar: raw */
	IMG_AUTOFS,
	IMG_BINFMT_MISC,
	IMG_CPUINFO,
	IMG_STATS, /* service header */
	IMG_TYPE_COUNT,
};

/* Page size of this machine's images; a constant of the architecture. */
#define IMAGE_PAGE_SIZE 4096u

/* ---- dump ---- */

struct image_set;
struct image;

/* An empty set. Freed with image_set_free() (NULL allowed). 0 or -ENOMEM. */
int image_set_new(struct image_set **ret);
void image_set_free(struct image_set *set);
static inline void cleanup_image_setp(struct image_set **s)
{
	image_set_free(*s);
}

/*
 * The image of that file name ("core-12.img"), created empty (with its header) at the first call.
 * The set owns it. NULL when out of memory.
 */
struct image *image_get(struct image_set *set, enum image_type type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Appends one record: u32 length, packed message. 0 or -ENOMEM. */
int image_add(struct image *img, const ProtobufCMessage *msg);

/* Appends raw bytes (payload of the record before, or content of a raw image). 0 or -ENOMEM. */
int image_add_raw(struct image *img, const void *data, size_t len);

/*
 * Begins to write the images of these types, which must be complete, while others are still being
 * filled. From here on an older checkpoint in the directory is none any more. What fails is told by
 * the commit. Without threads nothing is done.
 */
void image_set_begin(struct image_set *set, int dirfd, const enum image_type *types, size_t n);

/*
 * Writes every image but the inventory, syncs files and directory, then writes the inventory by
 * rename. Until that last step the directory is not a valid checkpoint.
 */
int image_set_commit(struct image_set *set, int dirfd, struct err *err)
	__attribute__((warn_unused_result));

/* Writes one image alone, for what is no part of a set. */
int image_save(const struct image *img, int dirfd, struct err *err)
	__attribute__((warn_unused_result));

/* Removes from dirfd every file that a failed commit (or the page files before it) has left. */
void image_set_discard(struct image_set *set, int dirfd);

/* ---- restore ---- */

struct image_reader;

enum { IMAGE_ABSENT = 1 };

/*
 * Opens and maps a file and checks its magics. Positive IMAGE_ABSENT when the file does not exist
 * (an empty list for most kinds). The reader is freed with image_reader_free() (NULL allowed).
 */
int image_open(int dirfd, enum image_type type, struct image_reader **ret, struct err *err,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6), warn_unused_result));
void image_reader_free(struct image_reader *r);
static inline void cleanup_image_readerp(struct image_reader **r)
{
	image_reader_free(*r);
}
#define cleanup_reader __attribute__((__cleanup__(cleanup_image_readerp)))

/* Memory for the messages of the reader from here on, instead of the heap. */
void image_reader_alloc_from(struct image_reader *r, const ProtobufCAllocator *allocator);

/*
 * The next record, unpacked; free it with protobuf_c_message_free_unpacked(). 1: got one, 0: end of
 * file, negative: not a valid file, with err naming file and offset.
 */
int image_next(struct image_reader *r, const ProtobufCMessageDescriptor *desc, void *ret,
	       struct err *err) __attribute__((warn_unused_result));

/* The single record of a file that holds exactly one. 0, or negative with err filled. */
int image_one(struct image_reader *r, const ProtobufCMessageDescriptor *desc, void *ret,
	      struct err *err) __attribute__((warn_unused_result));

/* len raw bytes behind the last record; the pointer lives as long as the reader. */
int image_next_raw(struct image_reader *r, size_t len, const void **ret, struct err *err)
	__attribute__((warn_unused_result));

/* Bytes not read yet. */
size_t image_left(const struct image_reader *r);

/* File name, for errors. */
const char *image_name(const struct image_reader *r);

/* Frees an unpacked message through an attribute: `cleanup_msg CoreEntry *core = NULL;`. */
static inline void cleanup_msgp(void *p)
{
	ProtobufCMessage *m = *(ProtobufCMessage **)p;

	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}
#define cleanup_msg __attribute__((__cleanup__(cleanup_msgp)))
