/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every image file of CRIU's format, as data: how its magic is called, which messages it holds and
 * which bytes follow them. For readers that take any image; a dump and a restore know their own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

/*
 * Bytes without a message of their own. Their number is the sum of the named fields of the record
 * in front of them times unit, rounded up to align. Fields are NULL-terminated.
 */
struct image_payload {
	const char *fields[3];
	uint32_t unit, align;
	const char *unless; /* no bytes follow if this field of the record is true */
	bool rest;	    /* all that is left of the file, whatever the fields say */
};

struct image_content {
	const char *name; /* of the magic */
	uint32_t magic;	  /* 0: raw, known by the beginning of its file name */
	const char *file; /* of a raw image: that beginning */
	/* first: the first record, where it differs from the others; NULL: no such difference */
	const ProtobufCMessageDescriptor *first, *record;
	/* Records that follow a record; their number is in its field inner_count. */
	const ProtobufCMessageDescriptor *inner;
	const char *inner_count;
	struct image_payload after_first, after_record, after_inner;
};

/* The image that has this magic behind the common one (or in front, in old sets); NULL: none. */
const struct image_content *image_content_by_magic(uint32_t magic);

/* The raw image whose files are named so; NULL: none. */
const struct image_content *image_content_by_name(const char *file);

/* All of them; ends with a row without a name. */
extern const struct image_content image_contents[];
