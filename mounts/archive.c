/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libarchive, loaded when there is something to pack or to unpack. It brings a dozen libraries
 * along (for formats that we never meet), and linking them takes longer than everything else that a
 * start of ours does; clients start us several times for one checkpoint, and most of that only to
 * ask for a version.
 *
 * The functions that we use are defined here, and call the real ones. Packing and unpacking code is
 * written against <archive.h> as if nothing were special, but somebody must have called
 * mounts_load_archive() before.
 */
#include "mounts/mounts-priv.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>

#define LIBRARY "libarchive.so.13"

/* clang-format off */
#define FUNCTIONS(F) \
	F(void, archive_entry_copy_stat, (struct archive_entry *a, const struct stat *b), (a, b)) \
	F(void, archive_entry_free, (struct archive_entry *a), (a)) \
	F(const char *, archive_entry_hardlink, (struct archive_entry *a), (a)) \
	F(void, archive_entry_linkify, (struct archive_entry_linkresolver *a, struct archive_entry **b, struct archive_entry **c), (a, b, c)) \
	F(void, archive_entry_linkresolver_free, (struct archive_entry_linkresolver *a), (a)) \
	F(struct archive_entry_linkresolver *, archive_entry_linkresolver_new, (void), ()) \
	F(void, archive_entry_linkresolver_set_strategy, (struct archive_entry_linkresolver *a, int b), (a, b)) \
	F(time_t, archive_entry_mtime, (struct archive_entry *a), (a)) \
	F(int, archive_entry_mtime_is_set, (struct archive_entry *a), (a)) \
	F(long, archive_entry_mtime_nsec, (struct archive_entry *a), (a)) \
	F(struct archive_entry *, archive_entry_new2, (struct archive *a), (a)) \
	F(const char *, archive_entry_pathname, (struct archive_entry *a), (a)) \
	F(void, archive_entry_set_gid, (struct archive_entry *a, la_int64_t b), (a, b)) \
	F(void, archive_entry_set_pathname, (struct archive_entry *a, const char *b), (a, b)) \
	F(void, archive_entry_set_symlink, (struct archive_entry *a, const char *b), (a, b)) \
	F(void, archive_entry_set_uid, (struct archive_entry *a, la_int64_t b), (a, b)) \
	F(void, archive_entry_sparse_add_entry, (struct archive_entry *a, la_int64_t b, la_int64_t c), (a, b, c)) \
	F(void, archive_entry_unset_atime, (struct archive_entry *a), (a)) \
	F(void, archive_entry_unset_ctime, (struct archive_entry *a), (a)) \
	F(void, archive_entry_xattr_add_entry, (struct archive_entry *a, const char *b, const void *c, size_t d), (a, b, c, d)) \
	F(int, archive_entry_xattr_next, (struct archive_entry *a, const char **b, const void **c, size_t *d), (a, b, c, d)) \
	F(int, archive_entry_xattr_reset, (struct archive_entry *a), (a)) \
	F(int, archive_errno, (struct archive *a), (a)) \
	F(const char *, archive_error_string, (struct archive *a), (a)) \
	F(int, archive_format, (struct archive *a), (a)) \
	F(int, archive_read_extract2, (struct archive *a, struct archive_entry *b, struct archive *c), (a, b, c)) \
	F(int, archive_read_free, (struct archive *a), (a)) \
	F(struct archive *, archive_read_new, (void), ()) \
	F(int, archive_read_next_header, (struct archive *a, struct archive_entry **b), (a, b)) \
	F(int, archive_read_open_fd, (struct archive *a, int b, size_t c), (a, b, c)) \
	F(int, archive_read_support_filter_gzip, (struct archive *a), (a)) \
	F(int, archive_read_support_format_tar, (struct archive *a), (a)) \
	F(int, archive_write_add_filter_gzip, (struct archive *a), (a)) \
	F(int, archive_write_close, (struct archive *a), (a)) \
	F(la_ssize_t, archive_write_data, (struct archive *a, const void *b, size_t c), (a, b, c)) \
	F(struct archive *, archive_write_disk_new, (void), ()) \
	F(int, archive_write_disk_set_options, (struct archive *a, int b), (a, b)) \
	F(int, archive_write_free, (struct archive *a), (a)) \
	F(int, archive_write_header, (struct archive *a, struct archive_entry *b), (a, b)) \
	F(struct archive *, archive_write_new, (void), ()) \
	F(int, archive_write_open2, (struct archive *a, void *b, archive_open_callback *c, archive_write_callback *d, archive_close_callback *e, archive_free_callback *f), (a, b, c, d, e, f)) \
	F(int, archive_write_set_bytes_in_last_block, (struct archive *a, int b), (a, b)) \
	F(int, archive_write_set_format_pax, (struct archive *a), (a)) \
	F(int, archive_write_set_options, (struct archive *a, const char *b), (a, b))
/* clang-format on */

#define DEFINE(type, name, parameters, arguments) \
	static type(*real_##name) parameters;     \
	type name parameters                      \
	{                                         \
		return real_##name arguments;     \
	}
FUNCTIONS(DEFINE)

static void (*real_archive_set_error)(struct archive *a, int b, const char *c, ...);

void archive_set_error(struct archive *a, int b, const char *c, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, c);
	vsnprintf(text, sizeof(text), c, ap);
	va_end(ap);
	real_archive_set_error(a, b, "%s", text);
}

int mounts_load_archive(struct err *err)
{
	static const struct {
		const char *name;
		void *at;
	} all[] = {
#define ROW(type, name, parameters, arguments) { #name, &real_##name },
		FUNCTIONS(ROW){ "archive_set_error", &real_archive_set_error }
	};
	void *lib;

	if (real_archive_set_error)
		return 0;
	lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_new(err, ERR_ENVIRONMENT, -ENOENT, "loading %s: %s", LIBRARY, dlerror());
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		void *found = dlsym(lib, all[i].name);

		if (!found)
			return err_new(err, ERR_ENVIRONMENT, -ENOENT, "%s has no %s", LIBRARY,
				       all[i].name);
		memcpy(all[i].at, &found, sizeof(found));
	}
	return 0;
}
