//! The paged KV cache: appending new tokens, and attention of new tokens over it.

use super::ReferenceBackend;
use super::base::Faults;
use super::call::{Call, F32, FLOATS, I32, dense};
use super::heads::Heads;
use super::memory::{Grid, Window};
use crate::tensor::{Buffer, TensorResult};

const PAGE_MULTIPLE: usize = 64;

/// Where the new tokens of a batch stand.
struct Places {
    op: &'static str,
    table: Option<Window>,
    positions: Window,
    lengths: Option<Window>,
    batch: usize,
    new_len: usize,
    page_size: usize,
    pages_per_sequence: usize,
    n_pages: usize,
}

/// (first position, new tokens, pages) of a sequence.
struct Place {
    start: usize,
    count: usize,
    pages: Vec<i32>,
}

impl Places {
    /// The place of each sequence, or `None` after a bad value.
    ///
    /// `reads_all`: the pages of all keys are needed, not only those of the new ones. A sequence
    /// without new tokens is not looked at.
    fn look_up(&self, faults: &Faults, reads_all: bool) -> Option<Vec<Place>> {
        let (op, per, size) = (self.op, self.pages_per_sequence, self.page_size);
        let counts = faults.lengths(op, self.lengths.as_ref(), self.batch, self.new_len)?;
        let starts = self.positions.i32s(self.batch);
        let table = match &self.table {
            Some(table) => table.i32s(self.batch * per),
            None => (0..(self.batch * per) as i32).collect(),
        };
        let mut places = Vec::new();
        for (b, (&start, count)) in starts.iter().zip(counts).enumerate() {
            let room = (size * per - count) as i64;
            if count > 0 && !(0..=room).contains(&i64::from(start)) {
                faults.report(format!(
                    "{op}: positions[{b}] is {start}, expected 0 to {room}"
                ));
                return None;
            }
            let pages = &table[b * per..(b + 1) * per];
            let start = start.max(0) as usize;
            let first = if reads_all { 0 } else { start / size };
            let end = if count > 0 {
                (start + count).div_ceil(size)
            } else {
                first
            };
            for (page, &found) in pages.iter().enumerate().take(end).skip(first) {
                if !(0..self.n_pages as i64).contains(&i64::from(found)) {
                    let (at, most) = (b * per + page, self.n_pages as i64 - 1);
                    faults.report(format!(
                        "{op}: block_table[{at}] is {found}, expected 0 to {most}"
                    ));
                    return None;
                }
            }
            places.push(Place {
                start,
                count,
                pages: pages.to_vec(),
            });
        }
        Some(places)
    }

    /// The element at which head g of a position of a sequence begins.
    fn element(&self, place: &Place, position: usize, s: &Heads, g: usize) -> usize {
        let page = place.pages[position / self.page_size] as usize;
        ((page * self.page_size + position % self.page_size) * s.n_kv_heads + g) * s.head_dim
    }
}

fn check_pages(
    call: &mut Call,
    s: &Heads,
    page_size: usize,
    pages_per_sequence: usize,
    n_pages: usize,
    has_table: bool,
) -> TensorResult<()> {
    call.dims(&[
        ("page_size", page_size),
        ("pages_per_sequence", pages_per_sequence),
        ("n_pages", n_pages),
    ]);
    call.require(
        page_size > 0 && page_size.is_multiple_of(PAGE_MULTIPLE),
        || format!("page_size is {page_size}, expected a multiple of {PAGE_MULTIPLE}"),
    )?;
    let name = "page_size x pages_per_sequence";
    let capacity = call.product(name, page_size, pages_per_sequence)?;
    call.fits_i32(name, capacity)?;
    call.at_most("new_len", s.seq_len as u128, capacity, name)?;
    if !has_table {
        let needed = call.product("batch x pages_per_sequence", s.batch, pages_per_sequence)?;
        call.at_least("n_pages", n_pages as i128, needed as i128)?;
    }
    call.fits_i32("n_pages", n_pages as u128)
}

impl ReferenceBackend {
    pub(super) fn cache_append(
        &self,
        k_cache: &Buffer,
        v_cache: &Buffer,
        k: &Buffer,
        v: &Buffer,
        block_table: Option<&Buffer>,
        positions: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        new_len: usize,
        n_kv_heads: usize,
        head_dim: usize,
        page_size: usize,
        pages_per_sequence: usize,
        n_pages: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        let mut call = Call::new("cache_append");
        let sizes = [batch, new_len, n_kv_heads, n_kv_heads, head_dim];
        let kv_strides = (kv_token_stride, kv_head_stride);
        let s = Heads::of(&mut call, "new_len", sizes, (0, 0), kv_strides)?;
        check_pages(
            &mut call,
            &s,
            page_size,
            pages_per_sequence,
            n_pages,
            block_table.is_some(),
        )?;
        let cache = dense(&[n_pages, page_size, n_kv_heads, head_dim]);
        let to_k = call.out("k_cache", k_cache, &cache, FLOATS)?;
        let to_v = call.out("v_cache", v_cache, &cache, FLOATS)?;
        let keys = call.input("k", k, &s.kv_extent(), F32)?;
        let values = call.input("v", v, &s.kv_extent(), F32)?;
        let places = Places {
            op: call.op,
            table: call.optional(
                "block_table",
                block_table,
                &dense(&[batch, pages_per_sequence]),
                I32,
            )?,
            positions: call.input("positions", positions, &dense(&[batch]), I32)?,
            lengths: call.optional("lengths", lengths, &dense(&[batch]), I32)?,
            batch,
            new_len,
            page_size,
            pages_per_sequence,
            n_pages,
        };
        call.same_dtype("v_cache", &to_v, "k_cache", &to_k)?;
        self.submit(call, move |faults| {
            let Some(found) = places.look_up(faults, false) else {
                return;
            };
            let row = n_kv_heads * head_dim;
            for (cache, new) in [(&to_k, &keys), (&to_v, &values)] {
                let new = new.grid(s.kv_grid());
                for (b, place) in found.iter().enumerate() {
                    for t in 0..place.count {
                        let at = places.element(place, place.start + t, &s, 0);
                        let from = (b * new_len + t) * row;
                        let target = Window {
                            start: cache.start + at,
                            ..cache.clone()
                        };
                        target.put_grid(Grid::rows(1, row, row), &new[from..from + row]);
                    }
                }
            }
        })
    }

    pub(super) fn attention_cached_forward(
        &self,
        out: &Buffer,
        q: &Buffer,
        k_cache: &Buffer,
        v_cache: &Buffer,
        block_table: Option<&Buffer>,
        positions: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        new_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        page_size: usize,
        pages_per_sequence: usize,
        n_pages: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        let mut call = Call::new("attention_cached_forward");
        let sizes = [batch, new_len, n_heads, n_kv_heads, head_dim];
        let q_strides = (q_token_stride, q_head_stride);
        let s = Heads::of(&mut call, "new_len", sizes, q_strides, (0, 0))?;
        check_pages(
            &mut call,
            &s,
            page_size,
            pages_per_sequence,
            n_pages,
            block_table.is_some(),
        )?;
        let cache = dense(&[n_pages, page_size, n_kv_heads, head_dim]);
        let to = call.out("out", out, &s.out_extent(), FLOATS)?;
        let queries = call.input("q", q, &s.q_extent(), F32)?;
        let keys = call.input("k_cache", k_cache, &cache, FLOATS)?;
        let values = call.input("v_cache", v_cache, &cache, FLOATS)?;
        let places = Places {
            op: call.op,
            table: call.optional(
                "block_table",
                block_table,
                &dense(&[batch, pages_per_sequence]),
                I32,
            )?,
            positions: call.input("positions", positions, &dense(&[batch]), I32)?,
            lengths: call.optional("lengths", lengths, &dense(&[batch]), I32)?,
            batch,
            new_len,
            page_size,
            pages_per_sequence,
            n_pages,
        };
        let factor = call.real32("scale", scale, f64::NEG_INFINITY)?;
        call.same_dtype("v_cache", &values, "k_cache", &keys)?;
        self.submit(call, move |faults| {
            let Some(found) = places.look_up(faults, true) else {
                return;
            };
            let count = n_pages * page_size * n_kv_heads * head_dim;
            let (q, k, v) = (
                queries.grid(s.q_grid()),
                keys.floats(count),
                values.floats(count),
            );
            let mut result = vec![0.0; s.q_count()];
            for (b, place) in found.iter().enumerate() {
                for h in 0..n_heads {
                    let g = s.group(h);
                    let all: Vec<usize> = (0..place.start + place.count)
                        .filter(|_| place.count > 0)
                        .map(|position| places.element(place, position, &s, g))
                        .collect();
                    for t in 0..place.count {
                        let at = s.q_at(b, t, h);
                        let seen = &all[..=place.start + t];
                        let row = Self::attend(&q[at.clone()], &k, &v, seen, factor);
                        result[at].copy_from_slice(&row);
                    }
                }
            }
            to.put(&result);
        })
    }
}
