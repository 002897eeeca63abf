
d/device:GPU:0)Stream #20(Compute)
"ÄÛ" !"
fusion*correlation_id