/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/image/nesting.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire {
	const uint8_t *at, *end;
};

static bool take_varint(struct wire *w, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		uint8_t byte = *w->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

/* Takes the value of a field; for bytes *ret_len is their length, with the bytes still to be read.
 */
static bool take_value(struct wire *w, unsigned int type, uint64_t *ret_len)
{
	uint64_t size = 0;

	switch (type) {
	case WIRE_VARINT:
		return take_varint(w, &size);
	case WIRE_FIXED64:
		size = 8;
		break;
	case WIRE_FIXED32:
		size = 4;
		break;
	case WIRE_BYTES:
		return take_varint(w, ret_len) && *ret_len <= (size_t)(w->end - w->at);
	default:
		return false;
	}
	if (size > (size_t)(w->end - w->at))
		return false;
	w->at += size;
	return true;
}

static bool bounded(const ProtobufCMessageDescriptor *desc, struct wire w, unsigned int depth)
{
	const ProtobufCFieldDescriptor *field;
	uint64_t key, len = 0;

	if (depth > NESTING_MAX)
		return false;
	while (w.at < w.end) {
		if (!take_varint(&w, &key) || !take_value(&w, key & 7, &len))
			return true;
		if ((key & 7) != WIRE_BYTES)
			continue;
		field = key >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(
							 desc, (unsigned int)(key >> 3))
					       : NULL;
		if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
		    !bounded(field->descriptor, (struct wire){ w.at, w.at + len }, depth + 1))
			return false;
		w.at += len;
	}
	return true;
}

bool nesting_bounded(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len)
{
	return bounded(desc, (struct wire){ data, data + len }, 0);
}
