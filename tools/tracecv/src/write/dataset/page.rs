//! Pages of a Parquet file with the sum of their bytes, so that readers notice a bit that has changed on a disk. The
//! parquet crate verifies such sums, but writes none.
//!
//! A page is a header in the compact protocol of Thrift (apache/thrift `doc/specs/thrift-compact-protocol.md`) and its
//! bytes; the fields of the header, and that `crc` is the CRC-32 of gzip over the compressed bytes, say
//! apache/parquet-format `src/main/thrift/parquet.thrift` (struct `PageHeader`) and `README.md` ("Checksumming").

use flate2::Crc;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::errors::{ParquetError, Result};

/// Collects the pages of one column chunk.
pub(super) struct SummedPages<'a>(pub(super) &'a mut Vec<u8>);

impl PageWriter for SummedPages<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let start = self.0.len();
        write_header(&page, self.0)?;
        let header = self.0.len() - start;
        self.0.extend_from_slice(page.data());
        Ok(PageWriteSpec {
            page_type: page.page_type(),
            uncompressed_size: page.uncompressed_size() + header,
            compressed_size: page.compressed_size() + header,
            num_values: page.num_values(),
            offset: start as u64,
            bytes_written: (self.0.len() - start) as u64,
        })
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn write_header(page: &CompressedPage, to: &mut Vec<u8>) -> Result<()> {
    let too_long = |_| ParquetError::General("a page is longer than 2 GiB".to_owned());
    let size = |bytes: usize| i32::try_from(bytes).map_err(too_long);
    let mut sum = Crc::new();
    sum.update(page.data());
    let mut header = CompactFields { to, last: 0 };
    header.number(1, page.page_type() as i32);
    header.number(2, size(page.uncompressed_size())?);
    header.number(3, size(page.compressed_size())?);
    header.number(4, sum.sum() as i32);
    let (values, encoding) = (size(page.num_values() as usize)?, page.encoding() as i32);
    match page.compressed_page() {
        Page::DataPage { def_level_encoding, rep_level_encoding, statistics: None, .. } => {
            header.open(5);
            header.number(1, values);
            header.number(2, encoding);
            header.number(3, *def_level_encoding as i32);
            header.number(4, *rep_level_encoding as i32);
        }
        Page::DictionaryPage { is_sorted, .. } => {
            header.open(7);
            header.number(1, values);
            header.number(2, encoding);
            header.truth(3, *is_sorted);
        }
        _ => {
            return Err(ParquetError::NYI(
                "pages of version 2, or with statistics in their header".to_owned(),
            ));
        }
    }
    // The end of the inner struct, and of the header.
    to.extend_from_slice(&[0, 0]);
    Ok(())
}

/// Writes the fields of a struct, in the order of their numbers.
struct CompactFields<'a> {
    to: &'a mut Vec<u8>,
    /// The number of the last field.
    last: u8,
}

impl CompactFields<'_> {
    const TRUE: u8 = 1;
    const FALSE: u8 = 2;
    const I32: u8 = 5;
    const STRUCT: u8 = 12;

    fn begin(&mut self, field: u8, kind: u8) {
        self.to.push(((field - self.last) << 4) | kind);
        self.last = field;
    }

    fn number(&mut self, field: u8, value: i32) {
        self.begin(field, Self::I32);
        let mut rest = ((value << 1) ^ (value >> 31)) as u32;
        while rest >= 0x80 {
            self.to.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        self.to.push(rest as u8);
    }

    fn truth(&mut self, field: u8, value: bool) {
        self.begin(field, if value { Self::TRUE } else { Self::FALSE });
    }

    /// Opens a struct: the fields that follow are its own.
    fn open(&mut self, field: u8) {
        self.begin(field, Self::STRUCT);
        self.last = 0;
    }
}
