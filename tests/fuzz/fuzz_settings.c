/* Any bytes as a training's settings: either settings that read the same again, or words that name
 * a key; and whatever a checkpoint says that they were can be compared with them. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/train_settings.h"
#include "src/base/json.h"
#include "src/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct train_settings s, again;
	struct err e = { 0 };
	char a[TRAIN_HASH_HEX], b[TRAIN_HASH_HEX];
	cJSON *o = len > 60000 ? NULL : json_parse((const char *)bytes, len, NULL);

	if (!o)
		return 0;
	if (train_settings_read(&s, o, &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && strstr(e.text, "setting"));
		FUZZ_CLAIM(utf8_plain(e.text, strlen(e.text), NULL) && !s.all);
	} else {
		FUZZ_CLAIM(s.model && s.data && s.out && s.order.pass_rows >= s.dataset.longest);
		FUZZ_CLAIM(s.order.steps > 0 || s.order.epochs > 0);
		FUZZ_CLAIM(s.targets && s.targets < 1u << MODULE_COUNT && s.lr > 0);
		FUZZ_CLAIM(train_settings_read(&again, s.all, &e) == 0);
		train_settings_hash(s.all, a);
		train_settings_hash(again.all, b);
		FUZZ_CLAIM(strcmp(a, b) == 0);
		FUZZ_CLAIM(train_settings_agree(s.all, again.all, &e) == 0);
		if (train_settings_agree(o, s.all, &e) < 0)
			FUZZ_CLAIM(utf8_plain(e.text, strlen(e.text), NULL));
		train_settings_release(&again);
		train_settings_release(&s);
	}
	cJSON_Delete(o);
	return 0;
}
