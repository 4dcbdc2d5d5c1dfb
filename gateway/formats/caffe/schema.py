"""Caffe's messages: field names, numbers and kinds, as caffe.proto of BVLC and of the common forks has them.

    kernel_size:4:i*     the field kernel_size is number 4, whole numbers, and may repeat

Kinds are i (whole number), b (true or false), f (float), d (double), s (text), @NAME (one of ENUMS), or a message.
Number 0 is a field of a fork whose number collides with another fork's: only text says it, or the layer's type
(FORK_PARAMS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Field:
    name: str
    number: int
    kind: str
    repeated: bool

    @property
    def is_message(self) -> bool:
        return len(self.kind) > 1 and not self.kind.startswith("@")


@cache
def fields(message: str) -> Mapping[str, Field]:
    """The fields of a message by name. Errors: KeyError for a message that there is not."""
    found = {}
    for item in MESSAGES[message].split():
        name, number, kind = item.split(":")
        found[name] = Field(name, int(number), kind.removesuffix("*"), kind.endswith("*"))
    return found


@cache
def numbered(message: str) -> Mapping[int, Field]:
    return {field.number: field for field in fields(message).values() if field.number}


@cache
def enum(name: str) -> Mapping[int, str]:
    """The names of an enumeration by number."""
    return {int(number): word for word, number in (item.split("=") for item in ENUMS[name].split())}


FORK_PARAMS: Mapping[str, str] = {
    "BN": "bn_param", "ROIPooling": "roi_pooling_param", "ShuffleChannel": "shuffle_channel_param",
    "Interp": "interp_param", "Upsample": "upsample_param", "Proposal": "proposal_param", "Permute": "permute_param",
    "PriorBox": "prior_box_param", "DetectionOutput": "detection_output_param", "Normalize": "norm_param",
}  # fmt: skip
"""Layer types of forks -> their parameters, whatever number the fork gave them."""
FIRST_FORK_NUMBER = 147  # forks count on from where BVLC stood when they left
ENGINE_ONLY = ("engine", "force_nd_im2col", "weight_filler", "bias_filler", "filler", "scale_filler")
"""Fields that choose how, not what, is computed, or how weights are born."""

MESSAGES: Mapping[str, str] = {
    "BlobShape": "dim:1:i*",
    "BlobProto": """
        num:1:i channels:2:i height:3:i width:4:i data:5:f* diff:6:f* shape:7:BlobShape double_data:8:d*
        double_diff:9:d* raw_data_type:10:i raw_diff_type:11:i raw_data:12:s raw_diff:13:s
    """,
    "FillerParameter": """
        type:1:s value:2:f min:3:f max:4:f mean:5:f std:6:f sparse:7:i variance_norm:8:@VarianceNorm
    """,
    "NetParameter": """
        name:1:s layers:2:V1LayerParameter* input:3:s* input_dim:4:i* force_backward:5:b state:6:NetState
        debug_info:7:b layer:100:LayerParameter* input_shape:8:BlobShape*
    """,
    "NetState": """
        phase:1:@Phase level:2:i stage:3:s*
    """,
    "NetStateRule": """
        phase:1:@Phase min_level:2:i max_level:3:i stage:4:s* not_stage:5:s*
    """,
    "ParamSpec": """
        name:1:s share_mode:2:@DimCheckMode lr_mult:3:f decay_mult:4:f
    """,
    "LayerParameter": """
        name:1:s type:2:s bottom:3:s* top:4:s* loss_weight:5:f* param:6:ParamSpec* include:8:NetStateRule*
        exclude:9:NetStateRule* phase:10:@Phase propagate_down:11:b* transform_param:100:TransformationParameter
        loss_param:101:LossParameter accuracy_param:102:AccuracyParameter argmax_param:103:ArgMaxParameter
        concat_param:104:ConcatParameter contrastive_loss_param:105:ContrastiveLossParameter
        convolution_param:106:ConvolutionParameter data_param:107:DataParameter
        dropout_param:108:DropoutParameter dummy_data_param:109:DummyDataParameter
        eltwise_param:110:EltwiseParameter exp_param:111:ExpParameter hdf5_data_param:112:HDF5DataParameter
        hdf5_output_param:113:HDF5OutputParameter hinge_loss_param:114:HingeLossParameter
        image_data_param:115:ImageDataParameter infogain_loss_param:116:InfogainLossParameter
        inner_product_param:117:InnerProductParameter lrn_param:118:LRNParameter
        memory_data_param:119:MemoryDataParameter mvn_param:120:MVNParameter pooling_param:121:PoolingParameter
        power_param:122:PowerParameter relu_param:123:ReLUParameter sigmoid_param:124:SigmoidParameter
        softmax_param:125:SoftmaxParameter slice_param:126:SliceParameter tanh_param:127:TanHParameter
        threshold_param:128:ThresholdParameter window_data_param:129:WindowDataParameter
        python_param:130:PythonParameter prelu_param:131:PReLUParameter spp_param:132:SPPParameter
        reshape_param:133:ReshapeParameter log_param:134:LogParameter flatten_param:135:FlattenParameter
        reduction_param:136:ReductionParameter embed_param:137:EmbedParameter tile_param:138:TileParameter
        batch_norm_param:139:BatchNormParameter elu_param:140:ELUParameter bias_param:141:BiasParameter
        scale_param:142:ScaleParameter input_param:143:InputParameter crop_param:144:CropParameter
        parameter_param:145:ParameterParameter recurrent_param:146:RecurrentParameter
        swish_param:147:SwishParameter clip_param:148:ClipParameter permute_param:202:PermuteParameter
        prior_box_param:203:PriorBoxParameter detection_output_param:204:DetectionOutputParameter
        norm_param:206:NormalizeParameter bn_param:0:BNParameter
        roi_pooling_param:0:ROIPoolingParameter shuffle_channel_param:0:ShuffleChannelParameter
        interp_param:0:InterpParameter upsample_param:0:UpsampleParameter proposal_param:0:ProposalParameter
        blobs:7:BlobProto*
    """,
    "TransformationParameter": """
        scale:1:f mirror:2:b crop_size:3:i mean_file:4:s mean_value:5:f* force_color:6:b force_gray:7:b
        crop_h:11:i crop_w:12:i
    """,
    "LossParameter": """
        ignore_label:1:i normalize:2:b normalization:3:@NormalizationMode
    """,
    "AccuracyParameter": """
        top_k:1:i axis:2:i ignore_label:3:i
    """,
    "ArgMaxParameter": """
        out_max_val:1:b top_k:2:i axis:3:i
    """,
    "ClipParameter": """
        min:1:f max:2:f
    """,
    "ConcatParameter": """
        concat_dim:1:i axis:2:i
    """,
    "BatchNormParameter": """
        use_global_stats:1:b moving_average_fraction:2:f eps:3:f
    """,
    "BiasParameter": """
        axis:1:i num_axes:2:i filler:3:FillerParameter
    """,
    "ContrastiveLossParameter": """
        margin:1:f legacy_version:2:b
    """,
    "ConvolutionParameter": """
        num_output:1:i bias_term:2:b pad:3:i* kernel_size:4:i* group:5:i stride:6:i*
        weight_filler:7:FillerParameter bias_filler:8:FillerParameter pad_h:9:i pad_w:10:i kernel_h:11:i
        kernel_w:12:i stride_h:13:i stride_w:14:i engine:15:@Engine axis:16:i force_nd_im2col:17:b
        dilation:18:i*
    """,
    "CropParameter": """
        axis:1:i offset:2:i*
    """,
    "DataParameter": """
        source:1:s scale:2:f mean_file:3:s batch_size:4:i crop_size:5:i mirror:6:b rand_skip:7:i backend:8:@DB
        force_encoded_color:9:b prefetch:10:i
    """,
    "DropoutParameter": """
        dropout_ratio:1:f
    """,
    "DummyDataParameter": """
        data_filler:1:FillerParameter* num:2:i* channels:3:i* height:4:i* width:5:i* shape:6:BlobShape*
    """,
    "EltwiseParameter": """
        operation:1:@EltwiseOp coeff:2:f* stable_prod_grad:3:b
    """,
    "ELUParameter": """
        alpha:1:f
    """,
    "EmbedParameter": """
        num_output:1:i input_dim:2:i bias_term:3:b weight_filler:4:FillerParameter bias_filler:5:FillerParameter
    """,
    "ExpParameter": """
        base:1:f scale:2:f shift:3:f
    """,
    "FlattenParameter": """
        axis:1:i end_axis:2:i
    """,
    "HDF5DataParameter": """
        source:1:s batch_size:2:i shuffle:3:b
    """,
    "HDF5OutputParameter": """
        file_name:1:s
    """,
    "HingeLossParameter": """
        norm:1:@Norm
    """,
    "ImageDataParameter": """
        source:1:s scale:2:f mean_file:3:s batch_size:4:i crop_size:5:i mirror:6:b rand_skip:7:i shuffle:8:b
        new_height:9:i new_width:10:i is_color:11:b root_folder:12:s
    """,
    "InfogainLossParameter": """
        source:1:s axis:2:i
    """,
    "InnerProductParameter": """
        num_output:1:i bias_term:2:b weight_filler:3:FillerParameter bias_filler:4:FillerParameter axis:5:i
        transpose:6:b
    """,
    "InputParameter": """
        shape:1:BlobShape*
    """,
    "LogParameter": """
        base:1:f scale:2:f shift:3:f
    """,
    "LRNParameter": """
        local_size:1:i alpha:2:f beta:3:f norm_region:4:@NormRegion k:5:f engine:6:@Engine
    """,
    "MemoryDataParameter": """
        batch_size:1:i channels:2:i height:3:i width:4:i
    """,
    "MVNParameter": """
        normalize_variance:1:b across_channels:2:b eps:3:f
    """,
    "ParameterParameter": """
        shape:1:BlobShape
    """,
    "PoolingParameter": """
        pool:1:@PoolMethod kernel_size:2:i stride:3:i pad:4:i kernel_h:5:i kernel_w:6:i stride_h:7:i
        stride_w:8:i pad_h:9:i pad_w:10:i engine:11:@Engine global_pooling:12:b round_mode:13:@RoundMode
        ceil_mode:0:b
    """,
    "PowerParameter": """
        power:1:f scale:2:f shift:3:f
    """,
    "PythonParameter": """
        module:1:s layer:2:s param_str:3:s share_in_parallel:4:b
    """,
    "RecurrentParameter": """
        num_output:1:i weight_filler:2:FillerParameter bias_filler:3:FillerParameter debug_info:4:b
        expose_hidden:5:b
    """,
    "ReductionParameter": """
        operation:1:@ReductionOp axis:2:i coeff:3:f
    """,
    "ReLUParameter": """
        negative_slope:1:f engine:2:@Engine
    """,
    "ReshapeParameter": """
        axis:2:i num_axes:3:i shape:1:BlobShape
    """,
    "ScaleParameter": """
        axis:1:i num_axes:2:i filler:3:FillerParameter bias_term:4:b bias_filler:5:FillerParameter
    """,
    "SigmoidParameter": """
        engine:1:@Engine
    """,
    "SliceParameter": """
        slice_dim:1:i slice_point:2:i* axis:3:i
    """,
    "SoftmaxParameter": """
        engine:1:@Engine axis:2:i
    """,
    "SwishParameter": """
        beta:1:f
    """,
    "TanHParameter": """
        engine:1:@Engine
    """,
    "TileParameter": """
        axis:1:i tiles:2:i
    """,
    "ThresholdParameter": """
        threshold:1:f
    """,
    "WindowDataParameter": """
        source:1:s scale:2:f mean_file:3:s batch_size:4:i crop_size:5:i mirror:6:b fg_threshold:7:f
        bg_threshold:8:f fg_fraction:9:f context_pad:10:i crop_mode:11:s cache_images:12:b root_folder:13:s
    """,
    "SPPParameter": """
        pyramid_height:1:i pool:2:@PoolMethod engine:6:@Engine
    """,
    "V1LayerParameter": """
        layer:1:V0LayerParameter bottom:2:s* top:3:s* name:4:s type:5:@LayerType blobs_lr:7:f* weight_decay:8:f*
        concat_param:9:ConcatParameter convolution_param:10:ConvolutionParameter data_param:11:DataParameter
        dropout_param:12:DropoutParameter hdf5_data_param:13:HDF5DataParameter
        hdf5_output_param:14:HDF5OutputParameter image_data_param:15:ImageDataParameter
        infogain_loss_param:16:InfogainLossParameter inner_product_param:17:InnerProductParameter
        lrn_param:18:LRNParameter pooling_param:19:PoolingParameter window_data_param:20:WindowDataParameter
        power_param:21:PowerParameter memory_data_param:22:MemoryDataParameter argmax_param:23:ArgMaxParameter
        eltwise_param:24:EltwiseParameter threshold_param:25:ThresholdParameter
        dummy_data_param:26:DummyDataParameter accuracy_param:27:AccuracyParameter
        hinge_loss_param:29:HingeLossParameter relu_param:30:ReLUParameter slice_param:31:SliceParameter
        include:32:NetStateRule* exclude:33:NetStateRule* mvn_param:34:MVNParameter loss_weight:35:f*
        transform_param:36:TransformationParameter tanh_param:37:TanHParameter sigmoid_param:38:SigmoidParameter
        softmax_param:39:SoftmaxParameter contrastive_loss_param:40:ContrastiveLossParameter
        exp_param:41:ExpParameter loss_param:42:LossParameter param:1001:s* blob_share_mode:1002:@DimCheckMode*
        blobs:6:BlobProto*
    """,
    "V0LayerParameter": """
        name:1:s type:2:s num_output:3:i biasterm:4:b weight_filler:5:FillerParameter
        bias_filler:6:FillerParameter pad:7:i kernelsize:8:i group:9:i stride:10:i pool:11:@PoolMethod
        dropout_ratio:12:f local_size:13:i alpha:14:f beta:15:f source:16:s scale:17:f meanfile:18:s
        batchsize:19:i cropsize:20:i mirror:21:b k:22:f blobs_lr:51:f* weight_decay:52:f* rand_skip:53:i
        det_fg_threshold:54:f det_bg_threshold:55:f det_fg_fraction:56:f det_context_pad:58:i det_crop_mode:59:s
        new_num:60:i new_channels:61:i new_height:62:i new_width:63:i shuffle_images:64:b concat_dim:65:i
        hdf5_output_param:1001:HDF5OutputParameter blobs:50:BlobProto*
    """,
    "PReLUParameter": """
        filler:1:FillerParameter channel_shared:2:b
    """,
    "NonMaximumSuppressionParameter": """
        nms_threshold:1:f top_k:2:i eta:3:f
    """,
    "DetectionOutputParameter": """
        num_classes:1:i share_location:2:b background_label_id:3:i nms_param:4:NonMaximumSuppressionParameter
        code_type:6:@CodeType keep_top_k:7:i variance_encoded_in_target:8:b
        confidence_threshold:9:f
    """,
    "NormalizeParameter": """
        across_spatial:1:b scale_filler:2:FillerParameter channel_shared:3:b eps:4:f
    """,
    "PermuteParameter": """
        order:1:i*
    """,
    "PriorBoxParameter": """
        min_size:1:f* max_size:2:f* aspect_ratio:3:f* flip:4:b clip:5:b variance:6:f* img_size:7:i img_h:8:i
        img_w:9:i step:10:f step_h:11:f step_w:12:f offset:13:f
    """,
    "BNParameter": """
        slope_filler:1:FillerParameter bias_filler:2:FillerParameter momentum:3:f eps:4:f frozen:5:b
        scale_filler:0:FillerParameter shift_filler:0:FillerParameter bn_mode:0:@BNMode engine:0:s
    """,
    "ROIPoolingParameter": """
        pooled_h:1:i pooled_w:2:i spatial_scale:3:f
    """,
    "ShuffleChannelParameter": """
        group:1:i
    """,
    "InterpParameter": """
        height:1:i width:2:i zoom_factor:3:i shrink_factor:4:i pad_beg:5:i pad_end:6:i
    """,
    "UpsampleParameter": """
        scale:1:i scale_h:2:i scale_w:3:i pad_out_h:4:b pad_out_w:5:b upsample_h:6:i upsample_w:7:i
    """,
    "ProposalParameter": """
        feat_stride:1:i base_size:2:i min_size:3:i ratio:4:f* scale:5:f* pre_nms_topn:6:i post_nms_topn:7:i
        nms_thresh:8:f
    """,
}

ENUMS: Mapping[str, str] = {
    "BNMode": "LEARN=0 INFERENCE=1",
    "CodeType": "CORNER=1 CENTER_SIZE=2 CORNER_SIZE=3",
    "DB": "LEVELDB=0 LMDB=1",
    "DimCheckMode": "STRICT=0 PERMISSIVE=1",
    "EltwiseOp": "PROD=0 SUM=1 MAX=2",
    "Engine": "DEFAULT=0 CAFFE=1 CUDNN=2",
    "LayerType": """
        NONE=0 ABSVAL=35 ACCURACY=1 ARGMAX=30 BNLL=2 CONCAT=3 CONTRASTIVE_LOSS=37 CONVOLUTION=4 DATA=5
        DECONVOLUTION=39 DROPOUT=6 DUMMY_DATA=32 EUCLIDEAN_LOSS=7 ELTWISE=25 EXP=38 FLATTEN=8 HDF5_DATA=9
        HDF5_OUTPUT=10 HINGE_LOSS=28 IM2COL=11 IMAGE_DATA=12 INFOGAIN_LOSS=13 INNER_PRODUCT=14 LRN=15
        MEMORY_DATA=29 MULTINOMIAL_LOGISTIC_LOSS=16 MVN=34 POOLING=17 POWER=26 RELU=18 SIGMOID=19
        SIGMOID_CROSS_ENTROPY_LOSS=27 SILENCE=36 SOFTMAX=20 SOFTMAX_LOSS=21 SPLIT=22 SLICE=33 TANH=23
        WINDOW_DATA=24 THRESHOLD=31
    """,
    "Norm": "L1=1 L2=2",
    "NormRegion": "ACROSS_CHANNELS=0 WITHIN_CHANNEL=1",
    "NormalizationMode": "FULL=0 VALID=1 BATCH_SIZE=2 NONE=3",
    "Phase": "TRAIN=0 TEST=1",
    "PoolMethod": "MAX=0 AVE=1 STOCHASTIC=2",
    "ReductionOp": "SUM=1 ASUM=2 SUMSQ=3 MEAN=4",
    "RoundMode": "CEIL=0 FLOOR=1",
    "VarianceNorm": "FAN_IN=0 FAN_OUT=1 AVERAGE=2",
}
