/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept beside the images, so that a restored container is its runtime's again: the
 * runtime's state and configuration, its compiled seccomp filter, the standard streams
 * (descriptors.json, as crun and runc write it), and crun-criu.json with what these do not have.
 */
#pragma once

#include "engine/base/arena.h"
#include "engine/base/vec.h"
#include "runtime/container.h"

/* A file of the host that the container had open, and the engine knows by a key. */
struct saved_file {
	const char *key;  /* "file[2b:1a]" */
	const char *path; /* on the host */
	int flags;	  /* O_* */
	int64_t pos;
	uint64_t dev, ino; /* which file it was */
	int fd;		   /* the container's number */
};

struct saved_files {
	VEC(struct saved_file);
};

struct saved {
	struct arena arena;
	bool known; /* crun-criu.json is there: the images are ours */
	enum oci_runtime runtime;
	const char *id;
	struct saved_files files;
	struct oci_strings descriptors;
	struct buf state, config, seccomp; /* empty: there is none */
};

/* Writes everything into the images folder, durably. On failure nothing of it is left. */
int saved_write(int images_fd, const struct container *c, const struct oci_plan *plan,
		const struct saved_files *files, struct err *err)
	__attribute__((warn_unused_result));

/* Removes what saved_write() made. */
void saved_remove(int images_fd);

/* Reads what is there. Images of another program have less; then fields stay empty. */
int saved_read(struct saved *s, int images_fd, struct err *err) __attribute__((warn_unused_result));

void saved_done(struct saved *s);

static inline void cleanup_savedp(struct saved *s)
{
	saved_done(s);
}
#define cleanup_saved __attribute__((cleanup(cleanup_savedp)))

/*
 * The standard streams of the container that are files of the host, outside of its mounts. Strings
 * are in the arena.
 */
int saved_find_files(struct arena *a, pid_t pid, struct saved_files *ret, struct err *err)
	__attribute__((warn_unused_result));
