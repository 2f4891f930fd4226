/*
 * episode_page.h - an episode as one HTML file that needs nothing else: every turn with its
 * pictures, its part in 3D, reward, checks, notes, judgements, what it changed, program, log,
 * prompt.
 *
 * Pure: data in, text out; equal data, equal bytes. A Content-Security-Policy in the file allows
 * the style and the scripts that are in it by their hashes, pictures that are in it, and nothing
 * from anywhere. Texts of strangers are shown, never obeyed: cleaned (src/base/utf8.h), escaped,
 * and never in a script.
 *
 * Without scripts all turns stand one under the other, with their pictures. With them: one turn at
 * a time, and a viewer for the GLB. Style and scripts are src/page/, put into the program when it
 * is built.
 */
#ifndef SRC_EPISODE_PAGE_H
#define SRC_EPISODE_PAGE_H

#include "src/episode_view.h"
#include "src/page.h"

/* @view: of each turn of @ep, in the same order. Appended to @out. */
void episode_page(struct buf *out, const struct page_episode *ep, const struct episode_view *view);

#endif
